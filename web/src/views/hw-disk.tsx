// A disk's options, and a new disk: empty, or with what an image or another guest's disk holds.
import { useState } from 'preact/hooks';
import type { Draft } from '../core/hardware-form.ts';
import { DISK, fieldsFor } from '../core/hardware-specs.ts';
import { BUSES, freeSlots, isVolumeKey, parseDrive, type Bus } from '../core/hardware.ts';
import { t } from '../core/i18n.ts';
import { formatProperties } from '../core/property.ts';
import { FormDialog } from '../parts/dialog.tsx';
import { Field, Select } from '../parts/field.tsx';
import { StoragePicker, useStorages } from '../parts/pickers.tsx';
import { FilePicker } from './hw-fields.tsx';
import { FieldList, KeysDialog, Preview, When, isRoot, send, type GuestConfig } from './hw-form.tsx';

export const DiskOptions = ({ config, id, what }: { config: GuestConfig; id: string; what: string }) =>
  <KeysDialog config={config} id={id} title={t('config.edit', { what })} fields={DISK} />;

const BUS_NAMES: Readonly<Record<Bus, string>> = { scsi: 'SCSI', virtio: 'VirtIO Block', sata: 'SATA', ide: 'IDE' };

/** Buses that this guest's engine has, and that have room. */
export function busesOf(config: GuestConfig, without: readonly Bus[] = []): Bus[] {
  const isVmm = config.values['engine'] === 'vmm';
  return BUSES.filter((bus) => !without.includes(bus) && (!isVmm || bus === 'virtio' || bus === 'scsi') && freeSlots(bus, takenBy(config)).length > 0);
}

/** Also what a running guest still has, and what waits. */
export const takenBy = (config: GuestConfig): string[] => [...Object.keys(config.now), ...Object.keys(config.values)];

/** The bus that the guest's disks are on already, else the first. */
export function usualBus(config: GuestConfig, buses: readonly Bus[]): Bus {
  const count = (bus: Bus): number => Object.keys(config.values).filter((k) => new RegExp(`^${bus}\\d+$`).test(k)).length;
  return buses.reduce((best, bus) => (count(bus) > count(best) ? bus : best), buses[0] ?? 'scsi');
}

export function SlotPicker(p: { config: GuestConfig; buses: readonly Bus[]; bus: Bus; slot: string; onChange: (bus: Bus, slot: string) => void }) {
  const slots = freeSlots(p.bus, takenBy(p.config));
  return <>
    <Select label={t('hw.disk.bus')} value={p.bus} options={p.buses.map((b) => [b, BUS_NAMES[b]] as const)} onChange={(v) => p.onChange(v as Bus, freeSlots(v as Bus, takenBy(p.config))[0] ?? '')} />
    <Select label={t('hw.disk.slot')} value={p.slot} options={slots.map((s) => [s, s] as const)} onChange={(v) => p.onChange(p.bus, v)} />
  </>;
}

export function useSlot(config: GuestConfig, without: readonly Bus[] = [], first?: Bus) {
  const buses = busesOf(config, without);
  const [at, setAt] = useState(() => {
    const bus = first && buses.includes(first) ? first : usualBus(config, buses);
    return { bus, slot: freeSlots(bus, takenBy(config))[0] ?? '' };
  });
  return { buses, ...at, set: (bus: Bus, slot: string): void => setAt({ bus, slot }) };
}

/** The storage that is chosen, or else the one that the guest has disks on, or else the first that there is. */
export function useFirstStorage(config: GuestConfig, content: string) {
  const [chosen, choose] = useState('');
  const { list, isReady } = useStorages(config.guest.node, content);
  const used = Object.entries(config.values).filter(([key]) => isVolumeKey(key)).map(([key, v]) => parseDrive(key, v)).find((d) => d.kind === 'disk' && list.some((s) => s.storage === d.storage));
  const storage = chosen || used?.storage || list[0]?.storage || '';
  return { storage, type: list.find((s) => s.storage === storage)?.type ?? '', choose, isReady };
}

const HAS_QCOW2 = new Set(['dir', 'nfs', 'cifs', 'cephfs']);

export function FormatPicker(p: { label: string; storageType: string; isRawOnly: boolean; value: string; keep?: string; error?: string | undefined; onChange: (v: string) => void }) {
  const formats = p.isRawOnly || !HAS_QCOW2.has(p.storageType) ? ['raw'] : ['raw', 'qcow2'];
  return <Select label={p.label} value={p.value} error={p.error} options={[['', p.keep ?? t('hw.format.storage')], ...formats.map((f) => [f, f] as const)]} onChange={p.onChange} />;
}

type Source = 'empty' | 'image' | 'volume';

export function AddDisk({ config }: { config: GuestConfig }) {
  const { guest } = config;
  const at = useSlot(config);
  const { storage, type, choose, isReady } = useFirstStorage(config, 'images');
  const [source, setSource] = useState<Source>('empty');
  const [size, setSize] = useState('32');
  const [from, setFrom] = useState('');
  const [format, setFormat] = useState('');
  const [options, setOptions] = useState<Readonly<Record<string, string>>>({});
  const key = at.slot;
  const fields = fieldsFor(DISK, key, config.values, isRoot());
  const draft: Draft = Object.fromEntries(Object.entries(options).map(([name, v]) => [`${key}.${name}`, v]));
  const own = Object.entries(options).filter(([name]) => fields.some((f) => f.path === `${key}.${name}`));
  const value = formatProperties([['file', `${storage}:${source === 'empty' ? size.replace(',', '.') : 0}`], ['import-from', source === 'empty' ? '' : from], ['format', format], ...own], 'file');
  const paths = [...fields.map((f) => f.path), ...['file', 'import-from', 'format'].map((n) => `${key}.${n}`)];
  const submit = (): Promise<void> => send(config, t('hw.add.disk'), { [key]: value }, true, paths);
  return (
    <FormDialog title={t('hw.add.disk')} submit={t('hw.add')} isWide isReady={isReady} onClose={config.onClose} onSubmit={submit}>
      {(errors) => <>
        <div class="form-grid">
          <StoragePicker label={t('nav.storage')} node={guest.node} content="images" value={storage} onChange={choose} />
          <Select label={t('hw.disk.source')} value={source} options={[['empty', t('hw.disk.sourceEmpty')], ['image', t('hw.disk.sourceImage')], ['volume', t('hw.disk.sourceVolume')]]} onChange={(v) => { setSource(v as Source); setFrom(''); }} />
          {source === 'empty' && <Field label={t('hw.disk.sizeGib')} value={size} onInput={setSize} inputmode="numeric" isRequired hasFocus error={errors[`${key}.file`]} />}
          {source === 'image' && <FilePicker label={t('hw.disk.image')} node={guest.node} content="import" none={t('picker.choose')} value={from} onChange={setFrom} error={errors[`${key}.import-from`]} />}
          {source === 'volume' && <Field label={t('hw.disk.volume')} help={t('hw.disk.volumeHelp')} value={from} onInput={setFrom} isRequired error={errors[`${key}.import-from`]} />}
          <FormatPicker label={t('hw.format')} storageType={type} isRawOnly={config.values['engine'] === 'vmm'} value={format} onChange={setFormat} error={errors[`${key}.format`]} />
          <SlotPicker config={config} buses={at.buses} bus={at.bus} slot={at.slot} onChange={at.set} />
        </div>
        <FieldList fields={fields} draft={draft} config={config} errors={errors} hasNoFocus onChange={(path, v) => setOptions((old) => ({ ...old, [path.slice(key.length + 1)]: v }))} />
        <When config={config} changes={{ [key]: value }} />
        {storage && <Preview config={config} method="POST" changes={{ [key]: value }} />}
      </>}
    </FormDialog>
  );
}
