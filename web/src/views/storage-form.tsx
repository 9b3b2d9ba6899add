// A storage is defined or changed: what matters first, the rest folded away.
import { useState } from 'preact/hooks';
import { get, post, put } from '../core/api.ts';
import { t, type Key } from '../core/i18n.ts';
import { nodePath } from '../core/paths.ts';
import { can } from '../core/perms.ts';
import { createValues, formOf, LIMITS, STORAGE_TYPES, updateValues, type Limit, type StorageConfig, type StorageForm as Form } from '../core/storages.ts';
import { run } from '../core/tasks.ts';
import { KIND_TEXTS, KINDS } from '../core/volumes.ts';
import { FormDialog } from '../parts/dialog.tsx';
import { EqualCall, quote } from '../parts/equal.tsx';
import { Check, Field, Select } from '../parts/field.tsx';
import { nodeNames } from '../parts/pickers.tsx';
import { useLoad } from '../parts/use.ts';

interface PartProps { form: Form; fields: Readonly<Record<string, string>>; set: (changes: Partial<Form>) => void; isNew: boolean }

interface Mount { path: string; device: string; type: string }

/** Disks that are mounted on a folder of their own: the usual places of a storage. */
function MountPicker({ form, set }: Pick<PartProps, 'form' | 'set'>) {
  const node = nodeNames()[0] ?? '';
  const list = useLoad(`mounts ${node}`, '', () => (node && can('/', 'Sys.Audit') ? get<Mount[]>(`${nodePath(node)}/disks/directory`) : Promise.resolve([]))).value ?? [];
  if (!list.length)
    return null;
  const choose = (path: string): void => {
    const mount = list.find((m) => m.path === path);
    if (mount)
      set({ path, mountpoint: 'yes', type: mount.type === 'btrfs' ? 'btrfs' : 'dir' });
  };
  return <Select label={t('storage.mounted')} value={list.some((m) => m.path === form.path) ? form.path : ''} onChange={choose}
    options={[['', t('picker.choose')], ...list.map((m) => [m.path, `${m.path} (${m.type}, ${m.device})`] as const)]} />;
}

function Identity({ form, fields, set, isNew }: PartProps) {
  if (!isNew)
    return <p class="quiet storage-place"><span class="mono">{form.path}</span> · {form.type}</p>;
  return (
    <>
      <Select label={t('storage.type')} value={form.type} error={fields['type']} onChange={(type) => set({ type })}
        help={t(form.type === 'btrfs' ? 'storage.typeHelp.btrfs' : 'storage.typeHelp.dir')}
        options={STORAGE_TYPES.map((type) => [type, t(type === 'btrfs' ? 'storage.type.btrfs' : 'storage.type.dir')] as const)} />
      <Field label={t('storage.name')} name="storage" value={form.storage} error={fields['storage']} help={t('storage.nameHelp')} isRequired hasFocus onInput={(storage) => set({ storage })} />
      <MountPicker form={form} set={set} />
      <Field label={t('storage.path')} name="path" value={form.path} error={fields['path']} help={t('storage.pathHelp')} isRequired onInput={(path) => set({ path })} />
    </>
  );
}

function Toggles(p: { legend: string; error?: string | undefined; options: readonly (readonly [string, string, string?])[]; value: readonly string[]; onChange: (value: string[]) => void }) {
  const toggle = (id: string, isOn: boolean): void => p.onChange(isOn ? [...p.value, id] : p.value.filter((v) => v !== id));
  return (
    <fieldset class={p.error ? 'toggles wrong' : 'toggles'}>
      <legend>{p.legend}</legend>
      <div class="toggle-grid">{p.options.map(([id, label, help]) => <Check key={id} label={label} {...(help ? { help } : {})} value={p.value.includes(id)} onChange={(isOn) => toggle(id, isOn)} />)}</div>
      {p.error && <p class="field-error">{p.error}</p>}
    </fieldset>
  );
}

const LIMIT_TEXTS: Readonly<Record<Limit, Key>> = { default: 'storage.limit.default', clone: 'storage.limit.clone', move: 'storage.limit.move' };

function Images({ form, fields, set }: PartProps) {
  return (
    <>
      <div class="pair">
        <Select label={t('storage.format')} value={form.format} error={fields['format']} onChange={(format) => set({ format })}
          options={[['', t('storage.formatDefault')], ['raw', 'raw'], ['qcow2', 'qcow2']]} />
        <Select label={t('storage.preallocation')} value={form.preallocation} error={fields['preallocation']} onChange={(preallocation) => set({ preallocation })}
          options={[['', t('storage.preallocationOff')], ['falloc', t('storage.preallocationFalloc')]]} />
      </div>
      {form.type === 'btrfs' && <Check label={t('storage.nocow')} help={t('storage.nocowHelp')} value={form.isNocow} onChange={(isNocow) => set({ isNocow })} />}
    </>
  );
}

function More(p: PartProps) {
  const { form, fields, set } = p;
  const names = [...new Set([...nodeNames(), ...form.nodes])];
  const setLimit = (name: Limit, value: string): void => set({ limits: { ...form.limits, [name]: value } });
  const mount = form.mountpoint === '' ? 'no' : form.mountpoint === 'yes' ? 'yes' : 'path';
  return (
    <details class="more-settings">
      <summary>{t('storage.more')}</summary>
      <div class="stack">
        {names.length > 0 && <Toggles legend={t('storage.nodesHelp')} error={fields['nodes']} options={names.map((n) => [n, n] as const)} value={form.nodes} onChange={(nodes) => set({ nodes })} />}
        <Check label={t('storage.shared')} help={t('storage.sharedHelp')} value={form.isShared} onChange={(isShared) => set({ isShared })} />
        <Images {...p} />
        <Select label={t('storage.mountpoint')} value={mount} error={mount === 'path' ? undefined : fields['is_mountpoint']} onChange={(v) => set({ mountpoint: v === 'no' ? '' : v === 'yes' ? 'yes' : '/' })}
          options={[['no', t('storage.mountpointNo')], ['yes', t('storage.mountpointYes')], ['path', t('storage.mountpointPath')]]} />
        {mount === 'path' && <Field label={t('storage.mountpointFolder')} value={form.mountpoint} error={fields['is_mountpoint']} onInput={(mountpoint) => set({ mountpoint: mountpoint || '/' })} />}
        <Check label={t('storage.makesFolders')} value={form.makesFolders} onChange={(makesFolders) => set({ makesFolders })} />
        <fieldset class={fields['bwlimit'] ? 'toggles wrong' : 'toggles'}>
          <legend>{t('storage.limits')}</legend>
          <div class="triple">{LIMITS.map((name) => <Field key={name} type="number" label={t(LIMIT_TEXTS[name])} value={form.limits[name]} onInput={(v) => setLimit(name, v)} />)}</div>
          {fields['bwlimit'] && <p class="field-error">{fields['bwlimit']}</p>}
        </fieldset>
      </div>
    </details>
  );
}

/** The nicer command, which knows the common settings by name. */
const commandOf = (name: string, values: Readonly<Record<string, string | number>>, verb: 'create' | 'set'): string =>
  `holm storage ${verb} ${quote(name || 'NAME')}${Object.entries(values).filter(([k]) => k !== 'storage' && k !== 'digest').map(([k, v]) => ` \\\n  --${k.replaceAll('_', '-')} ${quote(String(v))}`).join('')}`;

export function StorageForm({ config, onDone, onClose }: { config: StorageConfig | null; onDone: () => void; onClose: () => void }) {
  const [form, setForm] = useState(() => formOf(config));
  const set = (changes: Partial<Form>): void => setForm((old) => ({ ...old, ...changes }));
  const values = config ? updateValues(config, form) : createValues(form);
  const method = config ? 'PUT' : 'POST';
  const path = config ? `/storage/${encodeURIComponent(config.storage)}` : '/storage';
  const submit = async (): Promise<void> => {
    if (!Object.keys(values).length)
      return;
    await run(() => (config ? put(path, values) : post(path, values)));
    onDone();
  };
  return (
    <FormDialog title={config ? t('storage.editOf', { name: config.storage }) : t('storage.add')} submit={config ? t('save') : t('storage.add')} onSubmit={submit} onClose={onClose}>
      {(fields) => <>
        <Identity form={form} fields={fields} set={set} isNew={!config} />
        <Toggles legend={t('storage.contentHelp')} error={fields['content']} value={form.content} onChange={(content) => set({ content: KINDS.filter((k) => content.includes(k)) })}
          options={KINDS.map((k) => [k, t(KIND_TEXTS[k].many), t(KIND_TEXTS[k].help)] as const)} />
        <Check label={t('storage.enabled')} value={form.isEnabled} onChange={(isEnabled) => set({ isEnabled })} />
        <More form={form} fields={fields} set={set} isNew={!config} />
        {Object.keys(values).length > 0 && <EqualCall method={method} path={path} values={values} command={commandOf(form.storage, values, config ? 'set' : 'create')} />}
      </>}
    </FormDialog>
  );
}
