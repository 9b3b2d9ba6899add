// What can be done with a drive that is there: grow, move, give away, detach, attach, delete; a CD-ROM's medium.
import { useState } from 'preact/hooks';
import { post, put, type Values as CallValues } from '../core/api.ts';
import { bytes } from '../core/format.ts';
import { guestPath } from '../core/guests.ts';
import { atFields, propertiesOf, valueOf } from '../core/hardware-form.ts';
import { volumeName } from '../core/hardware-text.ts';
import { freeNumber, parseDrive, sizeBytes, SLOTS, type Bus } from '../core/hardware.ts';
import { t } from '../core/i18n.ts';
import { canGuest } from '../core/perms.ts';
import { withProperties } from '../core/property.ts';
import { store } from '../core/store.ts';
import { act } from '../core/tasks.ts';
import { FormDialog } from '../parts/dialog.tsx';
import { EqualCall } from '../parts/equal.tsx';
import { Check, Field, Select } from '../parts/field.tsx';
import { StoragePicker, useStorages } from '../parts/pickers.tsx';
import { FormatPicker, SlotPicker, useSlot } from './hw-disk.tsx';
import { FilePicker } from './hw-fields.tsx';
import { Preview, When, send, type GuestConfig } from './hw-form.tsx';
import type { Action } from './hw-may.ts';

interface Props { config: GuestConfig; id: string; what: string }

/** A call that starts a task: the dialog closes when it has been taken, the rest is told in a note. */
async function start(config: GuestConfig, what: string, call: () => Promise<unknown>, keys: readonly string[]): Promise<void> {
  let upid: unknown;
  try {
    upid = await call();
  } catch (e) {
    throw atFields(e, keys, keys);
  }
  void act(what, () => Promise.resolve(upid)).then(config.onDone);
}

const GIB = 2 ** 30;

function ResizeDialog({ config, id, what }: Props) {
  const old = sizeBytes(parseDrive(id, config.values[id] ?? '').size);
  const [more, setMore] = useState('');
  const path = `${guestPath(config.guest)}/resize`;
  const values: CallValues = { disk: id, size: `+${more.replace(',', '.')}G` };
  const next = old + Number(more.replace(',', '.')) * GIB;
  const title = t('hw.resize.title', { what });
  return (
    <FormDialog title={title} submit={t('hw.do.resize')} onClose={config.onClose} onSubmit={() => start(config, title, () => put(path, values), ['size', 'disk'])}>
      {(errors) => <>
        <Field label={t('hw.resize.more')} value={more} onInput={setMore} inputmode="numeric" isRequired hasFocus error={errors['size']}
          help={Number.isFinite(next) && more ? t('hw.resize.result', { old: bytes(old), next: bytes(next) }) : Number.isFinite(old) ? t('hw.resize.now', { size: bytes(old) }) : undefined} />
        <p class="quiet">{t('hw.resize.text')}</p>
        {more && <EqualCall method="PUT" path={path} values={values} />}
      </>}
    </FormDialog>
  );
}

function MoveDialog({ config, id, what }: Props) {
  const drive = parseDrive(id, config.values[id] ?? '');
  const { list: storages, isReady } = useStorages(config.guest.node, 'images');
  const [chosen, setStorage] = useState('');
  const storage = chosen || (storages.find((s) => s.storage !== drive.storage)?.storage ?? drive.storage); // where it is not yet
  const [format, setFormat] = useState('');
  const [isDeleting, setDeleting] = useState(true);
  const [limit, setLimit] = useState('');
  const type = storages.find((s) => s.storage === storage)?.type ?? '';
  const path = `${guestPath(config.guest)}/move_disk`;
  const mib = Number(limit);
  const values: CallValues = { disk: id, storage, format: format || undefined, delete: isDeleting || undefined, bwlimit: limit && Number.isFinite(mib) ? Math.round(mib * 1024) : undefined };
  const title = t('hw.move.title', { what });
  return (
    <FormDialog title={title} submit={t('hw.do.move')} isReady={isReady} onClose={config.onClose} onSubmit={() => start(config, title, () => post(path, values), ['storage', 'format', 'bwlimit', 'disk'])}>
      {(errors) => <>
        <StoragePicker label={t('hw.move.to')} node={config.guest.node} content="images" value={storage} onChange={setStorage} error={errors['storage']} />
        <FormatPicker label={t('hw.format')} storageType={type} isRawOnly={drive.kind === 'efi' || drive.kind === 'tpm' || config.values['engine'] === 'vmm'} keep={t('hw.format.keep', { format: drive.format })} value={format} onChange={setFormat} error={errors['format']} />
        <Field label={t('hw.move.limit')} value={limit} onInput={setLimit} inputmode="numeric" error={errors['bwlimit']} />
        <Check label={t('hw.move.delete')} help={t('hw.move.deleteHelp')} value={isDeleting} onChange={setDeleting} />
        <Preview config={config} method="POST" path={path} changes={values} />
      </>}
    </FormDialog>
  );
}

function GiveDialog({ config, id, what }: Props) {
  const isUnused = id.startsWith('unused');
  const guests = store.tables.guest.all().map((g) => g.value)
    .filter((g) => g.vmid !== config.guest.vmid && g.node === config.guest.node && g.type === 'qemu' && !g.template && (g.status === 'stopped' || isUnused) && canGuest(g.vmid, 'VM.Config.Disk')).sort((a, b) => a.vmid - b.vmid);
  const [vmid, setVmid] = useState('');
  const [target, setTarget] = useState(isUnused ? '' : id);
  const path = `${guestPath(config.guest)}/move_disk`;
  const values: CallValues = { disk: id, 'target-vmid': vmid, 'target-disk': target || undefined };
  const title = t('hw.give.title', { what });
  return (
    <FormDialog title={title} submit={t('hw.do.give')} onClose={config.onClose} onSubmit={() => start(config, title, () => post(path, values), ['target-vmid', 'target-disk', 'disk'])}>
      {(errors) => <>
        <Select label={t('hw.give.to')} value={vmid} error={errors['target-vmid']} options={[['', t('picker.choose')], ...guests.map((g) => [String(g.vmid), `${g.vmid} ${g.name}`] as const)]} onChange={setVmid} help={guests.length ? undefined : t('hw.give.nobody')} />
        <Field label={t('hw.give.as')} help={t('hw.give.asHelp')} value={target} onInput={setTarget} error={errors['target-disk']} />
        <p class="quiet">{t('hw.give.text')}</p>
        {vmid && <Preview config={config} method="POST" path={path} changes={values} />}
      </>}
    </FormDialog>
  );
}

function AttachDialog({ config, id, what }: Props) {
  const at = useSlot(config);
  const changes = { [at.slot]: parseDrive(id, config.values[id] ?? '').volid };
  const title = t('hw.attach.title', { what });
  return (
    <FormDialog title={title} submit={t('hw.do.attach')} onClose={config.onClose} onSubmit={() => send(config, title, changes, false, [])}>
      {() => <>
        <div class="form-grid"><SlotPicker config={config} buses={at.buses} bus={at.bus} slot={at.slot} onChange={at.set} /></div>
        <When config={config} changes={changes} /><Preview config={config} changes={changes} />
      </>}
    </FormDialog>
  );
}

function DetachDialog({ config, id, what }: Props) {
  const changes = { delete: id };
  const title = t('hw.detach.title', { what });
  return (
    <FormDialog title={title} submit={t('hw.do.detach')} isDanger onClose={config.onClose} onSubmit={() => send(config, title, changes, false, [])}>
      {() => <><p>{t('hw.detach.text')}</p><When config={config} changes={{ [id]: undefined }} /><Preview config={config} changes={changes} /></>}
    </FormDialog>
  );
}

function DeleteDialog({ config, id, what }: Props) {
  const { volid } = parseDrive(id, config.values[id] ?? '');
  const changes = { delete: id };
  const title = t('hw.delete.title', { what });
  return (
    <FormDialog title={title} submit={t('hw.do.delete')} isDanger typeName={volumeName(volid)} onClose={config.onClose} onSubmit={() => send(config, title, changes, true, [])}>
      {() => <><p>{t('hw.delete.text')}</p><p class="mono">{volid}</p><Preview config={config} method="POST" changes={changes} /></>}
    </FormDialog>
  );
}

export function RemoveDialog({ config, id, what }: Props) {
  const changes = { delete: id };
  const title = t('hw.remove.title', { what });
  return (
    <FormDialog title={title} submit={t('hw.do.remove')} isDanger onClose={config.onClose} onSubmit={() => send(config, title, changes, false, [])}>
      {() => <><p>{t('hw.remove.text')}</p><When config={config} changes={{ [id]: undefined }} /><Preview config={config} changes={changes} /></>}
    </FormDialog>
  );
}

// ---- CD-ROM ----

function withMedium(config: GuestConfig, id: string, volid: string): Record<string, string> {
  const old = propertiesOf(id, config.values[id] ?? '');
  old.delete('volume');
  return { [id]: valueOf(id, withProperties(old, { file: volid || 'none', size: '', media: 'cdrom' })) };
}

function MediumDialog({ config, id, what }: Props) {
  const [volid, setVolid] = useState(parseDrive(id, config.values[id] ?? '').volid);
  const changes = withMedium(config, id, volid);
  const title = t('hw.medium.title', { what });
  return (
    <FormDialog title={title} submit={t('save')} onClose={config.onClose} onSubmit={() => send(config, title, changes, false, [`${id}.file`])}>
      {(errors) => <>
        <FilePicker label={t('hw.cd.image')} node={config.guest.node} content="iso" none={t('hw.drive.empty')} value={volid} onChange={setVolid} error={errors[`${id}.file`]} />
        <When config={config} changes={changes} /><Preview config={config} changes={changes} />
      </>}
    </FormDialog>
  );
}

function EjectDialog({ config, id, what }: Props) {
  const changes = withMedium(config, id, '');
  const title = t('hw.eject.title', { what });
  return (
    <FormDialog title={title} submit={t('hw.do.eject')} onClose={config.onClose} onSubmit={() => send(config, title, changes, false, [])}>
      {() => <><p>{t('hw.eject.text')}</p><When config={config} changes={changes} /><Preview config={config} changes={changes} /></>}
    </FormDialog>
  );
}

export function AddCd({ config }: { config: GuestConfig }) {
  const NO_CD: readonly Bus[] = ['virtio']; // it takes no empty drive
  const at = useSlot(config, NO_CD, freeNumber('ide', SLOTS.ide, Object.keys(config.values)) >= 0 ? 'ide' : 'sata');
  const [volid, setVolid] = useState('');
  const changes = { [at.slot]: `${volid || 'none'},media=cdrom` };
  return (
    <FormDialog title={t('hw.add.cd')} submit={t('hw.add')} onClose={config.onClose} onSubmit={() => send(config, t('hw.add.cd'), changes, false, [`${at.slot}.file`])}>
      {(errors) => <>
        <FilePicker label={t('hw.cd.image')} node={config.guest.node} content="iso" none={t('hw.drive.empty')} value={volid} onChange={setVolid} error={errors[`${at.slot}.file`]} />
        <div class="form-grid"><SlotPicker config={config} buses={at.buses} bus={at.bus} slot={at.slot} onChange={at.set} /></div>
        <When config={config} changes={changes} /><Preview config={config} changes={changes} />
      </>}
    </FormDialog>
  );
}

export const DRIVE_DIALOGS = {
  resize: ResizeDialog, move: MoveDialog, give: GiveDialog, attach: AttachDialog, detach: DetachDialog, delete: DeleteDialog, medium: MediumDialog, eject: EjectDialog,
} as const satisfies Record<Exclude<Action, 'edit' | 'remove'>, unknown>;
