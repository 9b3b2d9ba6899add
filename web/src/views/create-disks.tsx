// The disks of a new guest: where, how large, behind which controller; the rest folded away.
import { BUSES, newDisk, type Disk } from '../core/create.ts';
import { change } from '../core/create-draft.ts';
import { diskStorages, usualFormat } from '../core/create-offer.ts';
import { bytes } from '../core/format.ts';
import { t } from '../core/i18n.ts';
import { Button } from '../parts/button.tsx';
import { Check, Field, Select } from '../parts/field.tsx';
import type { Wizard } from './create-wizard.ts';

const GIB = 1024 ** 3;
const CACHES = ['none', 'writeback', 'writethrough', 'directsync', 'unsafe'] as const;
const BUS_NAMES: Readonly<Record<Disk['bus'], string>> = { scsi: 'SCSI (virtio-scsi)', virtio: 'VirtIO Block', sata: 'SATA', ide: 'IDE' };

export const busName = (bus: Disk['bus'], isScsiVirtio: boolean): string => (bus === 'scsi' && !isScsiVirtio ? 'SCSI (LSI)' : BUS_NAMES[bus]);

function More({ w, disk, set }: { w: Wizard; disk: Disk; set: (patch: Partial<Disk>) => void }) {
  const isVmm = w.d.engine === 'vmm';
  const storage = w.offer.storages.find((s) => s.storage === disk.storage), formats = storage?.formats;
  const isUsual = w.d.source !== 'kernel' && usualFormat(storage) !== '';
  const known = (formats?.supported ?? []).filter((f) => f === 'raw' || f === 'qcow2');
  const caches = CACHES.filter((c) => !isVmm || c === 'none' || c === 'writeback');
  return (
    <details>
      <summary>{t('create.more')}</summary>
      <div class="fields">
        {!isVmm && <Select label={t('create.format')} value={disk.format} onChange={(f) => set({ format: f as Disk['format'] })}
          help={storage?.type === 'dir' ? t('create.format.help') : undefined}
          options={[...(isUsual ? [] : [['', t('create.format.own', { format: formats?.default ?? 'raw' })] as const]), ...known.map((f) => [f, f] as const)]} />}
        <Select label={t('create.cache')} value={disk.cache} onChange={(c) => set({ cache: c as Disk['cache'] })} options={[['', t('create.cache.own')], ...caches.map((c) => [c, c] as const)]} />
      </div>
      <div class="checks">
        <Check label={t('create.discard')} help={t('create.discard.help')} value={disk.discard} onChange={(discard) => set({ discard })} />
        {!isVmm && disk.bus !== 'virtio' && <Check label={t('create.ssd')} value={disk.ssd} onChange={(ssd) => set({ ssd })} />}
        {!isVmm && (disk.bus === 'scsi' || disk.bus === 'virtio') && <Check label={t('create.iothread')} value={disk.iothread} onChange={(iothread) => set({ iothread })} />}
      </div>
    </details>
  );
}

export function Disks({ w }: { w: Wizard }) {
  const storages = diskStorages(w.offer);
  const isVmm = w.d.engine === 'vmm';
  const put = (disks: readonly Disk[]): void => change({ disks });
  return (
    <fieldset class="group">
      <legend>{t('create.disks')}</legend>
      {w.d.disks.length === 0 && <p class="quiet">{t('create.disks.none')}</p>}
      {w.d.disks.map((disk, i) => {
        const set = (patch: Partial<Disk>): void => put(w.d.disks.map((x, k) => (k === i ? { ...x, ...patch } : x)));
        const isImage = w.d.source === 'image' && i === 0;
        const help = isImage && w.d.imageSize ? t('create.size.image', { size: bytes(w.d.imageSize * GIB) }) : undefined;
        return (
          <div key={i} class="item">
            <div class="fields three">
              <Field label={t('create.size')} name={`size${i}`} value={disk.size} error={w.wrong(`disk${i}`)} help={help} onInput={(size) => set({ size })} />
              <Select label={t('create.storage')} value={disk.storage} onChange={(storage) => set({ storage, format: '' })}
                options={storages.map((s) => [s.storage, s.avail === undefined ? s.storage : `${s.storage} (${t('picker.free', { size: bytes(s.avail) })})`] as const)} />
              <Select label={t('create.bus')} value={disk.bus} onChange={(bus) => set({ bus: bus as Disk['bus'] })}
                options={BUSES.filter((b) => !isVmm || b === 'scsi' || b === 'virtio').map((b) => [b, busName(b, !w.d.ostype.startsWith('w'))] as const)} />
              {!isImage && <Button tone="ghost" icon="trash" label={t('create.disk.remove', { n: i + 1 })} onClick={() => put(w.d.disks.filter((_, k) => k !== i))} />}
            </div>
            <More w={w} disk={disk} set={set} />
          </div>
        );
      })}
      {storages.length > 0 ? <div><Button icon="plus" onClick={() => put([...w.d.disks, newDisk({ ...w.d, source: w.d.source === 'image' ? 'empty' : w.d.source })])}>{t('create.disk.add')}</Button></div>
        : <p class="warn-text">{t('create.wrong.storage')}</p>}
      {w.wrong('disks') && <p class="field-error">{w.wrong('disks')}</p>}
    </fieldset>
  );
}
