// Settings of the whole installation: those that Holm acts on, and those that it keeps for other clients.
import { useState } from 'preact/hooks';
import { get, put } from '../core/api.ts';
import { t, type Key } from '../core/i18n.ts';
import { can } from '../core/perms.ts';
import { formatProperties, parseProperties } from '../core/property.ts';
import { Button } from '../parts/button.tsx';
import { FormDialog } from '../parts/dialog.tsx';
import { EqualCall } from '../parts/equal.tsx';
import { Field, Select, TextArea } from '../parts/field.tsx';
import { Loading } from '../parts/loading.tsx';
import { Panel, Tag } from '../parts/small.tsx';
import { useLoad } from '../parts/use.ts';

type Raw = string | number | readonly string[] | Readonly<Record<string, string | number>>;
type Options = Readonly<Record<string, Raw | undefined>>;

interface Part { name: string; label: Key; /** Where the label tells too much. */ short?: Key; values?: readonly string[] }
interface Setting { key: string; label: Key; help?: Key; values?: readonly string[]; isLong?: boolean; isNumber?: boolean; parts?: readonly Part[] }

const KEYBOARDS = ['de', 'de-ch', 'da', 'en-gb', 'en-us', 'es', 'fi', 'fr', 'fr-be', 'fr-ca', 'fr-ch', 'hu', 'is', 'it', 'ja', 'lt', 'mk', 'nl', 'no', 'pl', 'pt', 'pt-br', 'sv', 'sl', 'tr'];
const TONGUES = ['ar', 'ca', 'da', 'de', 'en', 'es', 'eu', 'fa', 'fr', 'hr', 'he', 'it', 'ja', 'ka', 'kr', 'nb', 'nl', 'nn', 'pl', 'pt_BR', 'ru', 'sl', 'sv', 'tr', 'ukr', 'zh_CN', 'zh_TW'];

const HERE: readonly Setting[] = [
  { key: 'next-id', label: 'settings.cluster.nextId', help: 'settings.cluster.nextIdHelp', parts: [{ name: 'lower', label: 'settings.cluster.lower' }, { name: 'upper', label: 'settings.cluster.upper' }] },
  { key: 'max_workers', label: 'settings.cluster.workers', help: 'settings.cluster.workersHelp', isNumber: true },
  { key: 'registered-tags', label: 'settings.cluster.tags', help: 'settings.cluster.tagsHelp' },
  { key: 'description', label: 'key.description', isLong: true },
  { key: 'location', label: 'settings.cluster.location', parts: [{ name: 'latitude', label: 'settings.cluster.latitude' }, { name: 'longitude', label: 'settings.cluster.longitude' }, { name: 'name', label: 'guest.name' }] },
];
const CLIENTS: readonly Setting[] = [
  { key: 'console', label: 'settings.cluster.console', values: ['applet', 'vv', 'html5', 'xtermjs'] },
  { key: 'keyboard', label: 'settings.cluster.keyboard', values: KEYBOARDS },
  { key: 'language', label: 'prefs.language', values: TONGUES },
  { key: 'tag-style', label: 'settings.cluster.tagStyle', help: 'settings.cluster.tagStyleHelp', parts: [{ name: 'shape', label: 'settings.cluster.shape', values: ['full', 'circle', 'dense', 'none'] },
    { name: 'ordering', label: 'settings.cluster.ordering', values: ['config', 'alphabetical'] }, { name: 'case-sensitive', label: 'settings.cluster.case', values: ['0', '1'] }, { name: 'color-map', label: 'settings.cluster.colors', short: 'settings.cluster.colorsShort' }] },
];

/** As the route takes it: lists with semicolons, objects as property strings. */
function textOf(raw: Raw | undefined): string {
  if (raw === undefined)
    return '';
  if (typeof raw !== 'object')
    return String(raw);
  return Array.isArray(raw) ? raw.join(';') : formatProperties(Object.entries(raw).map(([k, v]) => [k, String(v)] as const), '');
}

function Parts({ parts, value, error, onInput }: { parts: readonly Part[]; value: string; error: string | undefined; onInput: (v: string) => void }) {
  const now = parseProperties(value, '');
  const set = (name: string) => (v: string): void => onInput(formatProperties(parts.map((p) => [p.name, p.name === name ? v : now.get(p.name)] as const), ''));
  return <>{parts.map((p, i) => (p.values
    ? <Select key={p.name} label={t(p.label)} value={now.get(p.name) ?? ''} options={['', ...p.values].map((v) => [v, v === '' ? t('settings.unset') : p.name === 'case-sensitive' ? t(v === '1' ? 'yes' : 'no') : v] as const)} onChange={set(p.name)} />
    : <Field key={p.name} label={t(p.label)} value={now.get(p.name) ?? ''} error={i === 0 ? error : undefined} onInput={set(p.name)} />))}</>;
}

function Edit({ setting: s, value, error, onInput }: { setting: Setting; value: string; error: string | undefined; onInput: (v: string) => void }) {
  const help = s.help && t(s.help);
  if (s.parts)
    return <><Parts parts={s.parts} value={value} error={error} onInput={onInput} />{help && <p class="field-help">{help}</p>}</>;
  if (s.values)
    return <Select label={t(s.label)} value={value} error={error} help={help} options={['', ...s.values].map((v) => [v, v || t('settings.unset')] as const)} onChange={onInput} />;
  if (s.isLong)
    return <TextArea label={t(s.label)} value={value} error={error} help={help} onInput={onInput} />;
  return <Field label={t(s.label)} value={value} error={error} help={help} {...(s.isNumber ? { type: 'number' as const } : {})} onInput={onInput} hasFocus />;
}

function EditDialog({ setting: s, before, onDone, onClose }: { setting: Setting; before: string; onDone: () => void; onClose: () => void }) {
  const [value, setValue] = useState(before);
  const values = value === '' ? { delete: s.key } : { [s.key]: value };
  const submit = async (): Promise<void> => {
    if (value !== before)
      await put('/cluster/options', values);
    onDone();
  };
  return (
    <FormDialog title={t(s.label)} submit={t('save')} onSubmit={submit} onClose={onClose}>
      {(fields) => <><Edit setting={s} value={value} error={fields[s.key]} onInput={setValue} /><EqualCall method="PUT" path="/cluster/options" values={values} /></>}
    </FormDialog>
  );
}

const labelOf = (s: Setting, name: string): string => { const part = s.parts?.find((p) => p.name === name); return part ? t(part.short ?? part.label) : name; };

const shown = (s: Setting, raw: Raw | undefined) => (s.key === 'registered-tags' && Array.isArray(raw) ? <span class="row wrap">{(raw as readonly string[]).map((tag) => <Tag key={tag} name={tag} />)}</span>
  : s.parts && raw !== undefined ? [...parseProperties(textOf(raw), '')].map(([name, v]) => `${labelOf(s, name)}: ${v}`).join(', ') : textOf(raw) || t('settings.unset'));

function List({ title, help, settings, options, onEdit }: { title: string; help?: string; settings: readonly Setting[]; options: Options; onEdit: (s: Setting) => void }) {
  const may = can('/', 'Sys.Modify');
  return (
    <Panel title={title}>
      {help && <p class="quiet settings-help">{help}</p>}
      <ul class="config">{settings.map((s) => (
        <li key={s.key}>
          <span class="config-key">{t(s.label)}</span><span class={options[s.key] === undefined ? 'config-value quiet' : 'config-value'}>{shown(s, options[s.key])}</span>
          <span class="config-tools row">{may && <Button tone="ghost" icon="edit" label={t('config.edit', { what: t(s.label) })} onClick={() => onEdit(s)} />}</span>
        </li>
      ))}</ul>
    </Panel>
  );
}

export default function SettingsCluster() {
  const options = useLoad('options', '', () => get<Options>('/cluster/options'));
  const [edited, setEdited] = useState<Setting | null>(null);
  // Whoever has not Sys.Audit is told three settings, and cannot know that others are not set.
  const seen = (list: readonly Setting[]): Setting[] => (can('/', 'Sys.Audit') ? [...list] : list.filter((s) => ['console', 'registered-tags', 'tag-style'].includes(s.key)));
  return (
    <Loading of={options}>{(o) => (
      <div class="stack">
        <List title={t('settings.cluster.here')} settings={seen(HERE)} options={o} onEdit={setEdited} />
        <List title={t('settings.cluster.clients')} help={t('settings.cluster.clientsHelp')} settings={seen(CLIENTS)} options={o} onEdit={setEdited} />
        {edited && <EditDialog setting={edited} before={textOf(o[edited.key])} onDone={options.reload} onClose={() => setEdited(null)} />}
      </div>
    )}</Loading>
  );
}
