// A time zone by name; the browser knows the names.
import { useId } from 'preact/hooks';
import { t } from '../core/i18n.ts';

const names = (): string[] => (typeof Intl.supportedValuesOf === 'function' ? ['Etc/UTC', ...Intl.supportedValuesOf('timeZone')] : []);

export function ZoneField(p: { value: string; onInput: (value: string) => void; error: string | undefined }) {
  const id = useId();
  return (
    <div class={p.error ? 'field wrong' : 'field'}>
      <label for={id}>{t('node.time.zone')}</label>
      <input id={id} type="text" list={`${id}-l`} value={p.value} required autocomplete="off" spellcheck={false} aria-invalid={p.error ? true : undefined} aria-describedby={`${id}-e`} onInput={(e) => p.onInput(e.currentTarget.value)} />
      <datalist id={`${id}-l`}>{names().map((name) => <option key={name} value={name} />)}</datalist>
      {p.error ? <p class="field-error" id={`${id}-e`}>{p.error}</p> : <p class="field-help" id={`${id}-e`}>{t('node.time.zoneHelp')}</p>}
    </div>
  );
}
