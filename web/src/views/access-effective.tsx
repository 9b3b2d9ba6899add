// What a user or token may do, path by path, as the server works it out.
import { t } from '../core/i18n.ts';
import { Waiting } from '../parts/loading.tsx';
import { Panel } from '../parts/small.tsx';
import { usePermissions } from './access-data.ts';

export const checkHref = (who: string, path: string): string => `/access/check?${new URLSearchParams({ who, path })}`;

export function EffectivePermissions({ who }: { who: string }) {
  const { value, error, reload } = usePermissions(who);
  const paths = Object.entries(value ?? {}).sort(([a], [b]) => a.localeCompare(b, undefined, { numeric: true }));
  return (
    <Panel title={t('access.effective')}>
      {!value ? <Waiting error={error} onRetry={reload} />
        : paths.length === 0 ? <p class="quiet pad">{who.includes('!') ? t('access.effectiveToken') : t('access.effectiveNone')}</p>
          : <ul class="rows effective">
            {paths.map(([path, privileges]) => {
              const names = Object.keys(privileges);
              return (
                <li key={path}>
                  <a class="mono" href={checkHref(who, path)}>{path}</a>
                  <span class="quiet num">{t('access.privileges', { n: names.length })}</span>
                  <span class="quiet ellipsis yields-1 mono">{names.join(', ')}</span>
                </li>
              );
            })}
          </ul>}
    </Panel>
  );
}
