// What can be added to a guest: the menu, and the dialog of each.
import { useState } from 'preact/hooks';
import { get } from '../core/api.ts';
import { defOf, type Page } from '../core/config-keys.ts';
import { AUDIO, EFI, NET, NUMA, RNG, TPM, USB, WATCHDOG, fieldsFor, type Spec } from '../core/hardware-specs.ts';
import { changesOf, valueOf, type Draft } from '../core/hardware-form.ts';
import { freeNumber, parseDrive, type Values } from '../core/hardware.ts';
import { t, type Key } from '../core/i18n.ts';
import { nodePath } from '../core/paths.ts';
import { canGuest } from '../core/perms.ts';
import { FormDialog } from '../parts/dialog.tsx';
import type { IconName } from '../parts/icon.tsx';
import { Menu, MenuItem } from '../parts/menu.tsx';
import { StoragePicker } from '../parts/pickers.tsx';
import { useLoad } from '../parts/use.ts';
import { AddDisk, SlotPicker, busesOf, takenBy, useFirstStorage, useSlot } from './hw-disk.tsx';
import { AddCd } from './hw-drives.tsx';
import { FieldList, KeysDialog, Preview, When, isRoot, send, type GuestConfig } from './hw-form.tsx';
import { openAdd } from './hw-open.ts';

interface Addable {
  id: string;
  label: Key;
  icon: IconName;
  privilege: string;
  /** Key of the new thing, '' when there is no room for one. */
  key: (config: GuestConfig) => string;
  isQemu?: boolean;
  isRoot?: boolean;
  fields?: readonly Spec[];
  start?: (key: string) => Draft;
}

const numbered = (family: string, count: number) => (c: GuestConfig): string => {
  const n = freeNumber(family, count, takenBy(c));
  return n < 0 ? '' : `${family}${n}`;
};
const single = (key: string) => (c: GuestConfig): string => (takenBy(c).includes(key) ? '' : key);
const bus = (c: GuestConfig): string => busesOf(c)[0] ?? '';
const hasCloudInit = (values: Values): boolean => Object.entries(values).some(([k, v]) => parseDrive(k, v).kind === 'cloudinit');

const HW = 'VM.Config.HWType', DISK = 'VM.Config.Disk';

const ADDABLE: readonly Addable[] = [
  { id: 'disk', label: 'hw.add.disk', icon: 'disk', privilege: DISK, key: bus },
  { id: 'cd', label: 'hw.add.cd', icon: 'disc', privilege: 'VM.Config.CDROM', key: (c) => busesOf(c, ['virtio'])[0] ?? '', isQemu: true },
  { id: 'cloudinit', label: 'hw.add.cloudinit', icon: 'disc', privilege: DISK, key: (c) => (hasCloudInit(c.values) ? '' : bus(c)) },
  { id: 'net', label: 'hw.add.net', icon: 'net', privilege: 'VM.Config.Network', key: numbered('net', 32), fields: NET, start: (k) => ({ [`${k}.model`]: 'virtio' }) },
  { id: 'efi', label: 'hw.efi.title', icon: 'chip', privilege: DISK, key: single('efidisk0'), isQemu: true, fields: EFI, start: (k) => ({ [`${k}.efitype`]: '4m' }) },
  { id: 'tpm', label: 'hw.tpm.title', icon: 'shield', privilege: DISK, key: single('tpmstate0'), isQemu: true, fields: TPM, start: (k) => ({ [`${k}.version`]: 'v2.0' }) },
  { id: 'serial', label: 'key.serial', icon: 'screen', privilege: HW, key: numbered('serial', 4) },
  { id: 'usb', label: 'hw.usb.title', icon: 'plug', privilege: HW, key: numbered('usb', 14), isQemu: true, isRoot: true, fields: USB },
  { id: 'rng', label: 'hw.rng.title', icon: 'gear', privilege: HW, key: single('rng0'), fields: RNG, start: () => ({ 'rng0.source': '/dev/urandom' }) },
  { id: 'watchdog', label: 'hw.watchdog.title', icon: 'gear', privilege: HW, key: single('watchdog'), isQemu: true, fields: WATCHDOG, start: () => ({ 'watchdog.model': 'i6300esb', 'watchdog.action': 'reset' }) },
  { id: 'audio', label: 'hw.audio.title', icon: 'gear', privilege: HW, key: single('audio0'), isQemu: true, fields: AUDIO, start: () => ({ 'audio0.device': 'ich9-intel-hda' }) },
  { id: 'numa', label: 'hw.numa.title', icon: 'chip', privilege: 'VM.Config.CPU', key: numbered('numa', 8), isQemu: true, fields: NUMA },
];

const fits = (a: Addable, c: GuestConfig): boolean => canGuest(c.guest.vmid, a.privilege) && !c.guest.template && (!a.isQemu || c.values['engine'] !== 'vmm') && (!a.isRoot || isRoot()) && a.key(c) !== '';

const CONFIG = ['Disk', 'CDROM', 'CPU', 'Memory', 'Network', 'HWType', 'Options', 'Cloudinit'];
const mayAny = (c: GuestConfig): boolean => CONFIG.some((name) => canGuest(c.guest.vmid, `VM.Config.${name}`));

export function AddMenu({ config, page }: { config: GuestConfig; page: Page }) {
  const offered = page === 'hardware' ? ADDABLE.filter((a) => fits(a, config)) : [];
  const hasAny = mayAny(config);
  if (!offered.length && !hasAny)
    return null;
  return (
    <Menu label={t('hw.add')} icon="plus">
      {offered.map((a) => <MenuItem key={a.id} icon={a.icon} onClick={() => openAdd(a.id)}>{t(a.label)}</MenuItem>)}
      {hasAny && <MenuItem icon="search" onClick={() => openAdd('any')}>{t('hw.add.any')}</MenuItem>}
    </Menu>
  );
}

/** The first bridge of the node is what most want. */
function AddNet({ config, id, fields, start }: { config: GuestConfig; id: string; fields: readonly Spec[]; start: Draft }) {
  const bridges = useLoad(`bridges ${config.guest.node}`, '', () => get<{ iface: string }[]>(`${nodePath(config.guest.node)}/network`, { type: 'any_bridge' }).catch(() => [])).value;
  return bridges && <KeysDialog config={config} id={id} title={`${t('hw.add.net')} (${id})`} fields={fields} start={{ ...start, [`${id}.bridge`]: bridges[0]?.iface ?? '' }} />;
}

/** A small volume that is not a disk: EFI variables, the state of a TPM. */
function AddState({ config, what, id }: { config: GuestConfig; what: Addable; id: string }) {
  const { storage, choose, isReady } = useFirstStorage(config, 'images');
  const [draft, setDraft] = useState<Draft>(what.start?.(id) ?? {});
  const fields = fieldsFor(what.fields ?? [], id, config.values, isRoot());
  const set = changesOf({}, { ...draft, [`${id}.file`]: `${storage}:1` }).set;
  return (
    <FormDialog title={t(what.label)} submit={t('hw.add')} isReady={isReady} onClose={config.onClose} onSubmit={() => send(config, t(what.label), set, true, fields.map((f) => f.path))}>
      {(errors) => <>
        <StoragePicker label={t('nav.storage')} node={config.guest.node} content="images" value={storage} onChange={choose} error={errors[`${id}.file`]} />
        <FieldList fields={fields} draft={draft} config={config} errors={errors} hasNoFocus onChange={(path, v) => setDraft((old) => ({ ...old, [path]: v }))} />
        {what.id === 'efi' && config.values['bios'] !== 'ovmf' && <p class="warn-text">{t('hw.efi.needsOvmf')}</p>}
        <When config={config} changes={set} />{storage && <Preview config={config} method="POST" changes={set} />}
      </>}
    </FormDialog>
  );
}

export function AddCloudInit({ config }: { config: GuestConfig }) {
  const at = useSlot(config);
  const { storage, choose, isReady } = useFirstStorage(config, 'images');
  const changes = { [at.slot]: valueOf(at.slot, new Map([['file', `${storage}:cloudinit`]])) };
  return (
    <FormDialog title={t('hw.add.cloudinit')} submit={t('hw.add')} isReady={isReady} onClose={config.onClose} onSubmit={() => send(config, t('hw.add.cloudinit'), changes, false, [])}>
      {(errors) => <>
        <StoragePicker label={t('nav.storage')} node={config.guest.node} content="images" value={storage} onChange={choose} error={errors[`${at.slot}.file`]} />
        <div class="form-grid"><SlotPicker config={config} buses={at.buses} bus={at.bus} slot={at.slot} onChange={at.set} /></div>
        <p class="quiet">{t('hw.cloudinit.bus')}</p>
        <When config={config} changes={changes} />{storage && <Preview config={config} changes={changes} />}
      </>}
    </FormDialog>
  );
}

function AddSerial({ config, id }: { config: GuestConfig; id: string }) {
  const changes = { [id]: 'socket' };
  return (
    <FormDialog title={`${t('key.serial')} (${id})`} submit={t('hw.add')} onClose={config.onClose} onSubmit={() => send(config, t('key.serial'), changes, false, [])}>
      {() => <><p>{t('hw.serial.help')}</p><When config={config} changes={changes} /><Preview config={config} changes={changes} /></>}
    </FormDialog>
  );
}

export function AddDialog({ config, what }: { config: GuestConfig; what: string }) {
  const [held] = useState(config); // its key stays while the list below is loaded anew
  const found = ADDABLE.find((a) => a.id === what && fits(a, held));
  if (!found)
    return null;
  const id = found.key(held), start = found.start?.(id) ?? {};
  const fresh = { ...held, onDone: config.onDone };
  switch (what) {
    case 'disk': return <AddDisk config={fresh} />;
    case 'cd': return <AddCd config={fresh} />;
    case 'cloudinit': return <AddCloudInit config={fresh} />;
    case 'net': return <AddNet config={fresh} id={id} fields={NET} start={start} />;
    case 'efi': case 'tpm': return <AddState config={fresh} what={found} id={id} />;
    case 'serial': return <AddSerial config={fresh} id={id} />;
    default: return <KeysDialog config={fresh} id={id} title={defOf(id).isNumbered ? `${t(found.label)} (${id})` : t(found.label)} fields={found.fields ?? []} start={start} />;
  }
}
