import { LANGUAGES, language, t } from '../core/i18n.ts';
import { chosenLanguage, theme, type Theme } from '../core/prefs.ts';
import { Select } from '../parts/field.tsx';

const isTheme = (v: string): v is Theme => v === 'auto' || v === 'light' || v === 'dark';

export function PrefsMenu() {
  return (
    <div class="row prefs">
      <Select label={t('prefs.language')} value={language.value} options={LANGUAGES} onChange={(v) => { chosenLanguage.value = v; }} />
      <Select label={t('prefs.theme')} value={theme.value} onChange={(v) => { if (isTheme(v)) theme.value = v; }}
        options={[['auto', t('prefs.auto')], ['light', t('prefs.light')], ['dark', t('prefs.dark')]]} />
    </div>
  );
}
