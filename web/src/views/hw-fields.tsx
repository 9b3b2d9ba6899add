// One field of a dialog, by its kind; what the node has (models, bridges, files) is asked for when it is shown.
import { useId, useState } from 'preact/hooks';
import { get } from '../core/api.ts';
import { bytes } from '../core/format.ts';
import { fieldValue, type Draft } from '../core/hardware-form.ts';
import type { Option, Spec } from '../core/hardware-specs.ts';
import type { Values } from '../core/hardware.ts';
import { t } from '../core/i18n.ts';
import { nodePath, storagePath } from '../core/paths.ts';
import { Button } from '../parts/button.tsx';
import { Check, Field, Select, TextArea } from '../parts/field.tsx';
import { BridgePicker, type StorageRow, type Volume } from '../parts/pickers.tsx';
import { useLoad } from '../parts/use.ts';

interface Shared { label: string; value: string; help?: string | undefined; error?: string | undefined; onChange: (value: string) => void; node: string }
type Pair = readonly [string, string];

/** A value that the list does not have (any more) stays what it is. */
const withOwn = (options: readonly Pair[], value: string): readonly Pair[] => (value === '' || options.some(([v]) => v === value) ? options : [...options, [value, value]]);

export const optionPairs = (options: readonly Option[]): Pair[] => options.map((o) => [o.value, o.label ? t(o.label) : (o.text ?? o.value)] as const);

const useList = <T,>(node: string, what: string): readonly T[] => useLoad(`${node} ${what}`, '', () => get<T[]>(`${nodePath(node)}/${what}`)).value ?? [];

const FIRST_MODELS = ['host', 'max', 'x86-64-v4', 'x86-64-v3', 'x86-64-v2-AES', 'x86-64-v2', 'kvm64'];
const rank = (name: string): number => (FIRST_MODELS.includes(name) ? FIRST_MODELS.indexOf(name) : FIRST_MODELS.length);

function CpuType(p: Shared) {
  const models = useList<{ name: string; vendor: string; custom: number }>(p.node, 'capabilities/qemu/cpu');
  const names = [...new Set(models.map((m) => m.name))].sort((a, b) => rank(a) - rank(b) || a.localeCompare(b, 'en', { numeric: true }));
  return <Select {...p} options={withOwn([['', t('hw.default', { value: 'host' })], ...names.map((n) => [n, n] as const)], p.value)} />;
}

function Machine(p: Shared) {
  const list = useList<{ id: string; version: string }>(p.node, 'capabilities/qemu/machines');
  const versions = [...list].sort((a, b) => b.version.localeCompare(a.version, 'en', { numeric: true }) || b.id.localeCompare(a.id));
  return <Select {...p} options={withOwn([['', t('hw.default', { value: 'q35' })], ['q35', 'q35'], ['pc', 'pc (i440fx)'], ...versions.map((m) => [m.id, m.id] as const)], p.value)} />;
}

/** A file of some content, on whichever storage of the node. */
export function FilePicker(p: Shared & { content: string; none?: string }) {
  const load = async (): Promise<Volume[]> => {
    const storages = await get<StorageRow[]>(`${nodePath(p.node)}/storage`, { content: p.content, enabled: 1 });
    const lists = await Promise.all(storages.filter((s) => s.active !== 0).map((s) => get<Volume[]>(`${storagePath(p.node, s.storage)}/content`, { content: p.content }).catch(() => [])));
    return lists.flat();
  };
  const files = useLoad(`files ${p.node} ${p.content}`, '', load).value ?? [];
  const options = files.map((v) => [v.volid, `${v.volid.replace(/:(iso|import|boot|snippets)\//, ': ')} (${bytes(v.size)})`] as const);
  return <Select {...p} options={withOwn([['', p.none ?? t('hw.none')], ...options], p.value)} />;
}

interface UsbDevice { vendid: string; prodid: string; product?: string; manufacturer?: string; busnum: number; usbpath?: string; class: number }

function UsbHost(p: Shared) {
  const HUB = 9;
  const devices = useList<UsbDevice>(p.node, 'hardware/usb').filter((d) => d.class !== HUB);
  const ids = devices.map((d) => {
    const id = `${d.vendid.replace(/^0x/, '')}:${d.prodid.replace(/^0x/, '')}`;
    return [id, `${[d.manufacturer, d.product].filter(Boolean).join(' ') || id} (${id})`] as const;
  });
  const ports = devices.flatMap((d) => (d.usbpath ? [[`${d.busnum}-${d.usbpath}`, t('hw.usb.port', { port: `${d.busnum}-${d.usbpath}` })] as const] : []));
  return <Select {...p} options={withOwn([['', t('picker.choose')], ...ids, ...ports], p.value)} />;
}

/** "+aes;-pcid" as a list to which flags are added. */
function Flags(p: Shared) {
  const id = useId();
  const [typed, setTyped] = useState('');
  const known = useList<{ name: string }>(p.node, 'capabilities/qemu/cpu-flags');
  const flags = p.value.split(';').filter(Boolean);
  const without = (name: string): string[] => flags.filter((f) => f.slice(1) !== name);
  const add = (sign: string): void => {
    if (typed.trim())
      p.onChange([...without(typed.trim()), `${sign}${typed.trim()}`].join(';'));
    setTyped('');
  };
  return (
    <div class={p.error ? 'field wrong' : 'field'}>
      <label for={id}>{p.label}</label>
      {flags.length > 0 && <ul class="row wrap hw-flags">{flags.map((f) => (
        <li key={f} class="tag">{f}<button type="button" class="hw-x" aria-label={t('hw.removeOne', { what: f })} onClick={() => p.onChange(without(f.slice(1)).join(';'))}>×</button></li>))}</ul>}
      <div class="row">
        <input id={id} type="text" class="grow" list={`${id}-l`} value={typed} autocomplete="off" spellcheck={false} onInput={(e) => setTyped(e.currentTarget.value)} />
        <Button onClick={() => add('+')}>{t('hw.on')}</Button><Button onClick={() => add('-')}>{t('hw.off')}</Button>
      </div>
      <datalist id={`${id}-l`}>{[...known].map((f) => f.name).sort().map((name) => <option key={name} value={name} />)}</datalist>
      {p.error && <p class="field-error">{p.error}</p>}
    </div>
  );
}

function Choice(p: Shared & { spec: Spec }) {
  const pairs = optionPairs(p.spec.options ?? []);
  const fallback = p.spec.fallback ? (pairs.find(([v]) => v === p.spec.fallback)?.[1] ?? p.spec.fallback) : null;
  return <Select {...p} options={withOwn([['', fallback === null ? t('hw.unset') : t('hw.default', { value: fallback })], ...pairs], p.value)} />;
}

function placeholder(spec: Spec): string | undefined {
  return spec.fallback === undefined ? undefined : t('hw.default', { value: spec.fallback });
}

export function SpecField(p: { spec: Spec; draft: Draft; values: Values; error: string | undefined; node: string; hasFocus?: boolean; onChange: (path: string, value: string) => void }) {
  const { spec } = p;
  const value = p.draft[spec.path] ?? fieldValue(p.values, spec.path);
  const onChange = (next: string): void => p.onChange(spec.path, next);
  const shared: Shared = { label: t(spec.label), value, error: p.error, node: p.node, onChange, ...(spec.help ? { help: t(spec.help) } : {}) };
  const focus = p.hasFocus ? { hasFocus: true } : {};
  const text = { ...shared, ...focus, onInput: onChange };
  switch (spec.kind) {
    case 'check': {
      const isOn = (value === '' ? spec.fallback : value) === '1';
      return <div><Check label={shared.label} {...(shared.help ? { help: shared.help } : {})} value={isOn} onChange={(on) => onChange((on ? '1' : '0') === (spec.fallback ?? '0') ? '' : on ? '1' : '0')} />{p.error && <p class="field-error">{p.error}</p>}</div>;
    }
    case 'choice': return <Choice {...shared} spec={spec} />;
    case 'lines': return <TextArea {...text} />;
    case 'bridge': return <BridgePicker {...shared} />;
    case 'cputype': return <CpuType {...shared} />;
    case 'machine': return <Machine {...shared} />;
    case 'flags': return <Flags {...shared} />;
    case 'bootfile': return <FilePicker {...shared} content="boot" />;
    case 'snippet': return <FilePicker {...shared} content="snippets" />;
    case 'usbhost': return <UsbHost {...shared} />;
    case 'number': return <Field {...text} type="number" help={shared.help ?? placeholder(spec)} />;
    default: return <Field {...text} help={shared.help ?? placeholder(spec)} />;
  }
}
