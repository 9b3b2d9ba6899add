// What somebody chooses for himself, kept in this browser.
import { LANGUAGES, language, t, type Key } from '../core/i18n.ts';
import { isOnline, source } from '../core/live.ts';
import { chosenLanguage, theme, type Theme } from '../core/prefs.ts';
import { Button } from '../parts/button.tsx';
import { Select } from '../parts/field.tsx';
import { Facts, Panel } from '../parts/small.tsx';
import { State } from '../parts/state.tsx';

const THEMES: readonly (readonly [Theme, Key])[] = [['auto', 'prefs.auto'], ['light', 'prefs.light'], ['dark', 'prefs.dark']];
const NEWS: Readonly<Record<typeof source.value, Key>> = { events: 'settings.news.events', polling: 'settings.news.polling', none: 'settings.news.none' };

function forgetColumns(): void {
  for (const key of Object.keys(localStorage))
    if (key.startsWith('holm.hidden.'))
      localStorage.removeItem(key);
  location.reload();
}

export function SettingsPage() {
  const isStill = matchMedia('(prefers-reduced-motion: reduce)').matches;
  const hasColumns = Object.keys(localStorage).some((key) => key.startsWith('holm.hidden.') && localStorage.getItem(key) !== '[]');
  return (
    <div class="board">
      <Panel title={t('settings.page.look')}>
        <div class="settings-form">
          <Select label={t('prefs.language')} value={chosenLanguage.value} options={[['', t('settings.page.browserLanguage')], ...LANGUAGES]} onChange={(v) => { chosenLanguage.value = v; }} />
          <Select label={t('prefs.theme')} value={theme.value} options={THEMES.map(([id, key]) => [id, t(key)] as const)} onChange={(v) => { theme.value = THEMES.find(([id]) => id === v)?.[0] ?? 'auto'; }} />
          <p class="quiet">{t('settings.page.kept')}</p>
        </div>
      </Panel>
      <Panel title={t('settings.page.behaviour')}>
        <Facts facts={[
          [t('settings.page.news'), <span class="row"><State state={!isOnline.value ? 'offline' : source.value === 'events' ? 'online' : 'warning'} isBare />{t(isOnline.value ? NEWS[source.value] : 'offline')}</span>],
          [t('settings.page.motion'), t(isStill ? 'settings.page.still' : 'settings.page.moving')],
          [t('settings.page.numbers'), `${new Intl.NumberFormat(language.value).format(1234567.8)} · ${new Intl.DateTimeFormat(language.value, { dateStyle: 'medium', timeStyle: 'short' }).format(new Date())}`],
          [t('settings.page.zone'), Intl.DateTimeFormat().resolvedOptions().timeZone],
        ]} />
        {hasColumns && <p class="pad"><Button icon="columns" onClick={forgetColumns}>{t('settings.page.columns')}</Button></p>}
      </Panel>
    </div>
  );
}
