// One volume: what it is, whose it is; its notes and its protection are changed here.
import { useState } from 'preact/hooks';
import { get, put } from '../core/api.ts';
import { bytes, dateTime } from '../core/format.ts';
import { t } from '../core/i18n.ts';
import { volumePath } from '../core/paths.ts';
import { notify } from '../core/tasks.ts';
import { volumeName, type Volume } from '../core/volumes.ts';
import { Button } from '../parts/button.tsx';
import { Dialog } from '../parts/dialog.tsx';
import { copyText } from '../parts/equal.tsx';
import { ErrorBox } from '../parts/error.tsx';
import { Check, TextArea } from '../parts/field.tsx';
import { Waiting } from '../parts/loading.tsx';
import { Facts } from '../parts/small.tsx';
import { useLoad } from '../parts/use.ts';
import { mayManage } from './storage-data.ts';
import { kindName, Owner } from './storage-volume-columns.tsx';

interface Info { path: string; size: number; used: number; format: string; notes?: string; protected?: number; parent?: string }

interface Props { node: string; storage: string; volid: string; row: Volume | undefined; onDelete: (v: Volume) => void; onDone: () => void; onClose: () => void }

function facts(p: Props, info: Info) {
  const row = p.row;
  return [
    ...(row ? [[t('storage.kind'), kindName(row.content)] as const] : []),
    [t('storage.format'), info.format] as const,
    [t('storage.size'), <span class="num" title={`${info.size} B`}>{bytes(info.size)}</span>] as const,
    [t('storage.usedReally'), <span class="num" title={`${info.used} B`}>{bytes(info.used)}</span>] as const,
    ...(row?.ctime ? [[t('storage.date'), dateTime(row.ctime)] as const] : []),
    ...(row?.vmid !== undefined ? [[t('storage.owner'), <Owner vmid={row.vmid} />] as const] : []),
    ...(info.parent ? [[t('storage.parent'), info.parent] as const] : []),
  ];
}

function Line({ label, value }: { label: string; value: string }) {
  return (
    <div class="copy-line row">
      <div class="grow"><p class="quiet">{label}</p><p class="mono">{value}</p></div>
      <Button tone="ghost" icon="copy" label={`${t('copy')}: ${label}`} onClick={() => void copyText(value)} />
    </div>
  );
}

function Editor({ p, info, onSaved }: { p: Props; info: Info; onSaved: () => void }) {
  const [notes, setNotes] = useState(info.notes ?? '');
  const [isProtected, setProtected] = useState(!!info.protected);
  const [error, setError] = useState<unknown>(null);
  const [isBusy, setBusy] = useState(false);
  const isChanged = notes !== (info.notes ?? '') || isProtected !== !!info.protected;
  const save = async (event: Event): Promise<void> => {
    event.preventDefault();
    setBusy(true);
    setError(null);
    try {
      await put(volumePath(p.node, p.storage, p.volid), { notes, protected: isProtected });
      notify({ tone: 'good', text: t('note.done', { what: volumeName(p.volid) }) });
      onSaved();
    } catch (e) {
      setError(e);
    }
    setBusy(false);
  };
  return (
    <form class="stack" onSubmit={(e) => void save(e)}>
      <TextArea label={t('key.description')} value={notes} onInput={setNotes} />
      <Check label={t('storage.protect')} help={t('storage.protectHelp')} value={isProtected} onChange={setProtected} />
      {error !== null && <ErrorBox error={error} />}
      <footer class="row dialog-foot">
        {p.row && <Button icon="trash" isDisabled={!!info.protected} onClick={() => p.row && p.onDelete(p.row)}>{t('storage.delete')}</Button>}
        <span class="grow" />
        <Button type="submit" tone="main" isBusy={isBusy} isDisabled={!isChanged}>{t('save')}</Button>
      </footer>
    </form>
  );
}

export function VolumeDialog(p: Props) {
  const { value, error, reload } = useLoad(p.volid, '', () => get<Info>(volumePath(p.node, p.storage, p.volid)));
  return (
    <Dialog title={volumeName(p.volid)} onClose={p.onClose} isWide>
      <div class="stack volume">
        {error !== null && <ErrorBox error={error} onRetry={reload} />}
        {!value && !error && <Waiting />}
        {value && <>
          <Facts facts={facts(p, value)} />
          <Line label={t('storage.volid')} value={p.volid} />
          <Line label={t('storage.pathOnNode')} value={value.path} />
          {mayManage(p.storage)
            ? <Editor key={`${value.notes ?? ''} ${value.protected ?? 0}`} p={p} info={value} onSaved={() => { reload(); p.onDone(); }} />
            : value.notes && <p class="volume-notes">{value.notes}</p>}
        </>}
      </div>
    </Dialog>
  );
}
