// Files are brought here: dropped or chosen, then seen on their way. What an earlier page left unfinished is below.
import { useLayoutEffect, useRef, useState } from 'preact/hooks';
import { mayCreate } from '../core/create-rights.ts';
import { t } from '../core/i18n.ts';
import { go } from '../core/router.ts';
import { forgetUpload, isGoing, uploadRows } from '../core/uploads.ts';
import { KIND_TEXTS } from '../core/volumes.ts';
import { Button } from '../parts/button.tsx';
import { Icon } from '../parts/icon.tsx';
import { Panel } from '../parts/small.tsx';
import { uploadKinds, type StorageEntry } from './storage-data.ts';
import { Unfinished } from './storage-unfinished.tsx';
import { UploadDialog } from './storage-upload-dialog.tsx';
import { UploadItem } from './storage-upload-item.tsx';

/** What a guest can be made of. */
const BOOTABLE = ['iso', 'import', 'boot'];

const hasFiles = (event: DragEvent): boolean => event.dataTransfer?.types.includes('Files') ?? false;

/** Anywhere in the window: a file that is dropped beside a target would be opened by the browser, and the page be gone. */
function useDrop(onFiles: (files: readonly File[]) => void): boolean {
  const [isOver, setOver] = useState(false);
  useLayoutEffect(() => {
    const over = (event: DragEvent): void => {
      if (!hasFiles(event))
        return;
      event.preventDefault();
      setOver(true);
    };
    const leave = (event: DragEvent): void => { if (!event.relatedTarget) setOver(false); };
    const drop = (event: DragEvent): void => {
      if (!hasFiles(event))
        return;
      event.preventDefault();
      setOver(false);
      const files = [...(event.dataTransfer?.files ?? [])];
      if (files.length && !document.querySelector('dialog[open]'))
        onFiles(files);
    };
    addEventListener('dragover', over);
    addEventListener('dragleave', leave);
    addEventListener('drop', drop);
    return () => {
      removeEventListener('dragover', over);
      removeEventListener('dragleave', leave);
      removeEventListener('drop', drop);
    };
  }, []);
  return isOver;
}

function DropZone({ kinds, onFiles }: { kinds: string; onFiles: (files: readonly File[]) => void }) {
  const isOver = useDrop(onFiles);
  const input = useRef<HTMLInputElement>(null);
  const take = (element: HTMLInputElement): void => {
    if (element.files?.length)
      onFiles([...element.files]);
    element.value = ''; // the same file can be chosen again
  };
  return (
    <div class={isOver ? 'drop over' : 'drop'}>
      <Icon name="upload" />
      <p><strong>{t('storage.upload.drop')}</strong></p>
      <p class="quiet">{kinds}</p>
      <Button tone="main" onClick={() => input.current?.click()}>{t('storage.upload.choose')}</Button>
      <input ref={input} type="file" multiple hidden aria-label={t('storage.upload.choose')} onChange={(e) => take(e.currentTarget)} />
      <p class="quiet drop-note">{t('storage.upload.note')}</p>
    </div>
  );
}

function Queue({ node, storage }: { node: string; storage: string }) {
  const rows = uploadRows(node, storage);
  if (!rows.length)
    return null;
  const ended = rows.filter((row) => !isGoing(row.value) && row.value.state !== 'paused');
  const isBootable = rows.some((row) => row.value.state === 'done' && BOOTABLE.includes(row.value.content));
  const tools = (
    <>
      {ended.length > 0 && <Button onClick={() => ended.forEach((row) => forgetUpload(row.value.key))}>{t('storage.upload.clear')}</Button>}
      {isBootable && mayCreate() && <Button tone="main" icon="plus" onClick={() => go('/guests/new')}>{t('action.new')}</Button>}
    </>
  );
  return (
    <Panel title={t('storage.upload.queue')} tools={tools}>
      <ul class="upload-list">{rows.map((row) => <UploadItem key={row.peek().key} row={row} />)}</ul>
    </Panel>
  );
}

export function StorageUploads({ entry }: { entry: StorageEntry }) {
  const { node, config } = entry;
  const [files, setFiles] = useState<readonly File[] | null>(null);
  const kinds = uploadKinds(config);
  return (
    <div class="stack uploads">
      <DropZone kinds={kinds.map((k) => t(KIND_TEXTS[k].many)).join(', ')} onFiles={setFiles} />
      <Queue node={node} storage={config.storage} />
      <Unfinished node={node} storage={config.storage} />
      {files && <UploadDialog node={node} storage={config.storage} kinds={kinds} files={files} onClose={() => setFiles(null)} />}
    </div>
  );
}
