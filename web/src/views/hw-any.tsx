// Any key that the API knows, with the API's own words: for what has no dialog of its own. Its table of keys is the one
// that the server is built from.
import { useMemo, useState } from 'preact/hooks';
import schema from '../../../api/qemu-config.json';
import { parametersOf, changesOf, isEmpty, type Draft } from '../core/hardware-form.ts';
import { byName, familyOf, freeNumber } from '../core/hardware.ts';
import { t } from '../core/i18n.ts';
import { canGuest } from '../core/perms.ts';
import { defOf } from '../core/config-keys.ts';
import { Button } from '../parts/button.tsx';
import { Dialog, FormDialog } from '../parts/dialog.tsx';
import { Check, Field, Select } from '../parts/field.tsx';
import { Preview, When, isRoot, send, type GuestConfig } from './hw-form.tsx';
import { openEdit } from './hw-open.ts';
import { takenBy } from './hw-disk.tsx';

interface Property { type?: string; enum?: readonly string[]; description?: string; alias?: string; default?: unknown; minimum?: number; maximum?: number; default_key?: number }
interface KeyInfo extends Property { class: string; privilege: string; remark?: string; count?: number; format?: string | Readonly<Record<string, Property>> }

const KEYS = schema.keys as unknown as Readonly<Record<string, KeyInfo>>;
const NUMBER = '[n]';

/** Cloud-init has a tab of its own. Refused keys cannot be set by anybody. */
const may = (config: GuestConfig, info: KeyInfo): boolean => info.class !== 'refused' && (info.privilege === 'root' ? isRoot() : canGuest(config.guest.vmid, info.privilege));

/** Not to be shown while it is typed, nor in a plan or an equal call: cloud-init's own dialog sets it. */
const SECRETS = new Set(['cipassword']);

interface Found { name: string; key: string; info: KeyInfo }

function all(config: GuestConfig): Found[] {
  return Object.entries(KEYS).filter(([name, info]) => !SECRETS.has(name) && may(config, info)).map(([name, info]) => {
    const family = name.replace(NUMBER, '');
    const n = info.count ? freeNumber(family, info.count, takenBy(config)) : -1;
    return { name, info, key: !info.count ? name : n < 0 ? '' : `${family}${n}` };
  }).filter((f) => f.key !== '' && f.name !== `unused${NUMBER}` && f.name !== 'engine').sort((a, b) => byName(a.name, b.name));
}

/** A key with a dialog of its own is edited there, any other one here. */
function choose(key: string): void {
  const def = defOf(key);
  const hasDialog = !def.isNumbered && (def.dialog === 'boot' || (def.fields?.length ?? 0) > 0);
  openEdit(key, hasDialog ? '' : 'any');
}

const infoOf = (key: string): KeyInfo | undefined => (SECRETS.has(key) || !Object.hasOwn(KEYS, key) ? undefined : KEYS[key]) ?? KEYS[`${familyOf(key)}${NUMBER}`];

/** Properties that can be given; other names of a property are left out. */
function propertiesIn(info: KeyInfo): [string, Property][] {
  return typeof info.format === 'object' ? Object.entries(info.format).filter(([, p]) => !p.alias) : [];
}

type Shown = 'check' | 'choice' | 'number' | 'text';
const shownAs = (p: Property): Shown => (p.type === 'boolean' ? 'check' : p.enum ? 'choice' : p.type === 'integer' ? 'number' : 'text');

function AnyField(p: { path: string; label: string; property: Property; value: string; error: string | undefined; onChange: (v: string) => void }) {
  const { property } = p;
  const bounds = property.minimum !== undefined || property.maximum !== undefined ? `${property.minimum ?? ''} – ${property.maximum ?? ''}` : '';
  const fallback = property.default === undefined || property.default === null ? '' : t('hw.default', { value: String(property.default) });
  const help = [bounds, fallback].filter(Boolean).join(' · ') || undefined;
  const shared = { label: p.label, value: p.value, error: p.error, help };
  switch (shownAs(property)) {
    case 'check': return <Select {...shared} options={[['', t('hw.unset')], ['1', t('yes')], ['0', t('no')]]} onChange={p.onChange} />;
    case 'choice': return <Select {...shared} options={[['', t('hw.unset')], ...(property.enum ?? []).map((v) => [v, v] as const)]} onChange={p.onChange} />;
    case 'number': return <Field {...shared} type="number" onInput={p.onChange} />;
    default: return <Field {...shared} onInput={p.onChange} />;
  }
}

function EditAny({ config, id, info }: { config: GuestConfig; id: string; info: KeyInfo }) {
  const [held] = useState(config);
  const properties = propertiesIn(info);
  const [isWhole, setWhole] = useState(properties.length === 0);
  const [draft, setDraft] = useState<Draft>({ [id]: held.values[id] ?? '' });
  const changes = changesOf(held.values, draft);
  const params = parametersOf(changes);
  const paths = [id, ...properties.map(([name]) => `${id}.${name}`)];
  const set = (path: string, value: string): void => setDraft((old) => ({ ...(isWhole ? {} : Object.fromEntries(Object.entries(old).filter(([k]) => k !== id))), [path]: value }));
  const submit = async (): Promise<void> => {
    if (!isEmpty(changes))
      await send(config, id, { ...params, digest: held.digest }, false, paths);
  };
  return (
    <FormDialog title={id} submit={t('save')} isWide={!isWhole} onClose={config.onClose} onSubmit={submit}>
      {(errors) => <>
        <p>{info.description} {info.remark && <span class="quiet">{info.remark}</span>}</p>
        {info.class === 'advisory' && <p class="warn-text">{t('hw.any.advisory')}</p>}
        {properties.length > 0 && <Check label={t('hw.any.whole')} value={isWhole} onChange={(on) => { setWhole(on); setDraft({ [id]: held.values[id] ?? '' }); }} />}
        {isWhole
          ? <AnyField path={id} label={id} property={typeof info.format === 'object' ? { type: 'string' } : info} value={draft[id] ?? ''} error={errors[id]} onChange={(v) => set(id, v)} />
          : <div class="form-grid">{properties.map(([name, property]) => <AnyField key={name} path={`${id}.${name}`} label={name} property={property} value={draft[`${id}.${name}`] ?? ''} error={errors[`${id}.${name}`]} onChange={(v) => set(`${id}.${name}`, v)} />)}</div>}
        <When config={config} changes={Object.fromEntries([...Object.entries(changes.set), ...changes.remove.map((k) => [k, undefined] as const)])} />
        {!isEmpty(changes) && <Preview config={held} changes={params} />}
      </>}
    </FormDialog>
  );
}

function Choose({ config }: { config: GuestConfig }) {
  const [text, setText] = useState('');
  const list = useMemo(() => all(config), [config.digest]);
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  const found = list.filter((f) => words.every((w) => `${f.name} ${f.info.description ?? ''}`.toLowerCase().includes(w)));
  return (
    <Dialog title={t('hw.add.any')} isWide onClose={config.onClose}>
      <div class="stack">
        <Field label={t('hw.any.search')} value={text} onInput={setText} hasFocus />
        {found.length === 0 && <p class="quiet">{t('palette.none')}</p>}
        <ul class="hw-keys">{found.map((f) => (
          <li key={f.name}><button type="button" onClick={() => choose(f.key)}><code>{f.key}</code><span class="grow">{f.info.description}</span>{f.key in config.values && <span class="tag">{t('hw.any.isSet')}</span>}</button></li>))}</ul>
        <footer class="row dialog-foot"><Button onClick={config.onClose}>{t('cancel')}</Button></footer>
      </div>
    </Dialog>
  );
}

export default function AnyKeyDialog({ config, id }: { config: GuestConfig; id: string }) {
  if (!id)
    return <Choose config={config} />;
  const info = infoOf(id);
  return info && may(config, info) ? <EditAny key={id} config={config} id={id} info={info} /> : null;
}
