// What this is, and under which terms.
import { get } from '../core/api.ts';
import { t } from '../core/i18n.ts';
import { nodePath } from '../core/paths.ts';
import { canNode } from '../core/perms.ts';
import { nodeNames } from '../parts/pickers.tsx';
import { Facts, Panel } from '../parts/small.tsx';
import { useLoad } from '../parts/use.ts';
import { Mark } from './signin.tsx';

interface Version { version: string; release: string }
interface Status { pveversion: string }

export function SettingsAbout() {
  const api = useLoad('version', '', () => get<Version>('/version')).value;
  const names = nodeNames().filter((n) => canNode(n, 'Sys.Audit'));
  const versions = useLoad(`versions ${names.join()}`, '', () => Promise.all(names.map(async (n) => [n, (await get<Status>(`${nodePath(n)}/status`)).pveversion.replace('/', ' ')] as const))).value ?? [];
  return (
    <Panel title={t('settings.tab.about')}>
      <div class="about"><Mark /><div><h2>Holm</h2><p class="quiet">{t('settings.about.what')}</p></div></div>
      <Facts facts={[
        ...versions.map(([name, version]) => [t('settings.about.node', { name }), <span class="num">{version}</span>] as const),
        [t('settings.about.api'), api ? <span class="num">{api.version}</span> : '–'],
        [t('settings.about.license'), 'Apache License 2.0'],
      ]} />
      <p class="pad quiet">{t('settings.about.free')}</p>
    </Panel>
  );
}
