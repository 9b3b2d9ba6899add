// Uploads that the server has a part of and nobody of this page sends: of before a reload, of another browser, of the
// command line. With the same file they go on where they ended.
import { useEffect, useRef, useState } from 'preact/hooks';
import { bytes, dateTime } from '../core/format.ts';
import { t } from '../core/i18n.ts';
import { notify, run } from '../core/tasks.ts';
import type { Part } from '../core/upload.ts';
import { removePart } from '../core/upload-http.ts';
import { addUpload, isOurs, uploadRows } from '../core/uploads.ts';
import { Button } from '../parts/button.tsx';
import { FormDialog } from '../parts/dialog.tsx';
import { ErrorBox } from '../parts/error.tsx';
import { Progress } from '../parts/progress.tsx';
import { Panel } from '../parts/small.tsx';
import { useStorageList } from './storage-data.ts';
import { kindName } from './storage-volume-columns.tsx';

const LOOK_MS = 10_000;

interface RowProps { part: Part; onChoose: () => void; onDelete: () => void }

function Row({ part, onChoose, onDelete }: RowProps) {
  return (
    <li class="upload unfinished">
      <div class="row wrap">
        <span class="grow ellipsis"><strong>{part.filename}</strong> <span class="quiet">{kindName(part.content)}</span></span>
        {part.busy
          ? <span class="quiet">{t('storage.upload.busy')}</span>
          : <span class="row upload-tools"><Button icon="play" onClick={onChoose}>{t('storage.upload.takeUp')}</Button>
            <Button tone="ghost" icon="trash" label={t('storage.upload.deleteOf', { name: part.filename })} onClick={onDelete} /></span>}
      </div>
      <Progress value={part.received} max={part.size} label={part.filename} />
      <p class="quiet num">{t('of', { part: bytes(part.received), all: bytes(part.size) })} · {part.user} · {t('storage.upload.kept', { time: dateTime(part.expires) })}</p>
    </li>
  );
}

export function Unfinished({ node, storage }: { node: string; storage: string }) {
  const mine = uploadRows(node, storage).map((row) => `${row.value.key} ${row.value.state === 'done' || row.value.state === 'failed'}`).join();
  const { value, error, reload } = useStorageList<Part>(node, storage, 'uploads', mine);
  const [asked, setAsked] = useState<Part | null>(null);
  const wanted = useRef<Part | null>(null);
  const input = useRef<HTMLInputElement>(null);
  useEffect(() => {
    const timer = setInterval(() => { if (!document.hidden) reload(); }, LOOK_MS);
    return () => clearInterval(timer);
  }, [reload]);
  const takeUp = (file: File | undefined): void => {
    const part = wanted.current;
    if (!file || !part)
      return;
    if (file.size === part.size)
      addUpload({ node, storage, file, filename: part.filename, content: part.content, id: part.id });
    else
      notify({ tone: 'bad', text: t('storage.upload.differentSize', { name: file.name }), detail: t('storage.upload.sizes', { has: bytes(file.size), needs: bytes(part.size) }) });
  };
  const parts = (value ?? []).filter((p) => !isOurs(p.id));
  return (
    <>
      {error !== null && <ErrorBox error={error} onRetry={reload} />}
      {parts.length > 0 && (
        <Panel title={t('storage.upload.unfinished')}>
          <p class="quiet pad-sides">{t('storage.upload.unfinishedHelp')}</p>
          <ul class="upload-list">{parts.map((p) => <Row key={p.id} part={p} onChoose={() => { wanted.current = p; input.current?.click(); }} onDelete={() => setAsked(p)} />)}</ul>
        </Panel>
      )}
      <input ref={input} class="take-up" type="file" hidden aria-label={t('storage.upload.takeUp')} onChange={(e) => { takeUp(e.currentTarget.files?.[0]); e.currentTarget.value = ''; }} />
      {asked && (
        <FormDialog title={t('storage.upload.deleteOf', { name: asked.filename })} submit={t('storage.delete')} isDanger onClose={() => setAsked(null)}
          onSubmit={async () => { await run(() => removePart(node, storage, asked.id)); reload(); }}>
          {() => <p>{t('storage.upload.deleteText')}</p>}
        </FormDialog>
      )}
    </>
  );
}
