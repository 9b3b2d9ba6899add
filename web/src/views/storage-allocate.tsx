// An empty disk image, for who attaches it by hand.
import { useState } from 'preact/hooks';
import { post } from '../core/api.ts';
import { unitName } from '../core/format.ts';
import { t } from '../core/i18n.ts';
import { storagePath } from '../core/paths.ts';
import type { StorageConfig } from '../core/storages.ts';
import { store } from '../core/store.ts';
import { notify } from '../core/tasks.ts';
import { volumeName, type Volume } from '../core/volumes.ts';
import { FormDialog } from '../parts/dialog.tsx';
import { EqualCall } from '../parts/equal.tsx';
import { Field, Select } from '../parts/field.tsx';

/** The first name of this guest that is free, whatever its ending. */
function freeName(vmid: string, list: readonly Volume[]): string {
  const names = list.map((v) => volumeName(v.volid).replace(/\.\w+$/, ''));
  for (let i = 0; ; i++) {
    if (!names.includes(`vm-${vmid}-disk-${i}`))
      return `vm-${vmid}-disk-${i}`;
  }
}

interface Props { node: string; config: StorageConfig; list: readonly Volume[]; onDone: () => void; onClose: () => void }

export function AllocateDialog({ node, config, list, onDone, onClose }: Props) {
  const [vmid, setVmid] = useState('');
  const [name, setName] = useState('');
  const [size, setSize] = useState('32');
  const [unit, setUnit] = useState('G');
  const [format, setFormat] = useState(config.format ?? 'raw');
  const owner = store.tables.guest.row(vmid)?.value;
  const filename = name || (vmid ? freeName(vmid, list) : '');
  const values = { vmid, filename, size: `${size}${unit}`, format };
  const path = `${storagePath(node, config.storage)}/content`;
  const allocate = async (): Promise<void> => {
    const volid = await post<string>(path, values);
    notify({ tone: 'good', text: t('storage.allocated', { name: volumeName(volid) }) });
    onDone();
  };
  return (
    <FormDialog title={t('storage.allocate')} submit={t('storage.allocateSubmit')} onSubmit={allocate} onClose={onClose}>
      {(fields) => <>
        <p class="quiet">{t('storage.allocateText')}</p>
        <Field label={t('guest.id')} name="vmid" value={vmid} error={fields['vmid']} help={owner?.name ?? t('storage.allocateOwner')} inputmode="numeric" isRequired hasFocus onInput={setVmid} />
        <div class="pair">
          <Field label={t('storage.size')} name="size" type="number" value={size} error={fields['size']} isRequired onInput={setSize} />
          <Select label={t('storage.unit')} value={unit} options={[['M', unitName(2)], ['G', unitName(3)]]} onChange={setUnit} />
        </div>
        <Select label={t('storage.format')} value={format} error={fields['format']} options={[['raw', 'raw'], ['qcow2', 'qcow2']]} onChange={setFormat} />
        <Field label={t('storage.name')} name="filename" value={filename} error={fields['filename']} onInput={setName} />
        <EqualCall method="POST" path={path} values={values} />
      </>}
    </FormDialog>
  );
}
