// One upload: how far, how fast, how long yet; it can be stopped for a while, taken up again, given up.
import type { Signal } from '@preact/signals';
import { bytes, duration } from '../core/format.ts';
import { t, type Key } from '../core/i18n.ts';
import { DifferentFile } from '../core/upload.ts';
import { cancelUpload, forgetUpload, isGoing, pauseUpload, resumeUpload, type Upload, type UploadState } from '../core/uploads.ts';
import { Button } from '../parts/button.tsx';
import { ErrorBox } from '../parts/error.tsx';
import { Progress } from '../parts/progress.tsx';
import { State } from '../parts/state.tsx';
import { kindName } from './storage-volume-columns.tsx';

const WORDS: Readonly<Record<UploadState, Key>> = {
  queued: 'bulk.waiting', checking: 'storage.upload.checking', sending: 'storage.upload.sending', waiting: 'storage.upload.waiting',
  finishing: 'storage.upload.finishing', paused: 'storage.upload.paused', done: 'storage.upload.done', failed: 'state.failed',
};
const STATES: Readonly<Record<UploadState, string>> = {
  queued: '', checking: 'busy', sending: 'busy', waiting: 'warning', finishing: 'busy', paused: 'paused', done: 'ok', failed: 'failed',
};

function progress(u: Upload): string {
  const parts = [u.state === 'done' ? bytes(u.size) : t('of', { part: bytes(u.done), all: bytes(u.size) })];
  if (u.rate > 0)
    parts.push(`${bytes(u.rate)}/s`, t('storage.upload.left', { time: duration((u.size - u.done) / u.rate) }));
  return parts.join(' · ');
}

function Tools({ u }: { u: Upload }) {
  const name = u.filename;
  if (u.state === 'done')
    return <Button tone="ghost" icon="close" label={t('storage.upload.forgetOf', { name })} onClick={() => forgetUpload(u.key)} />;
  const isStopped = u.state === 'paused' || u.state === 'failed';
  return (
    <>
      {isStopped
        ? <Button tone="ghost" icon={u.state === 'failed' ? 'reload' : 'play'} label={t(u.state === 'failed' ? 'storage.upload.retryOf' : 'storage.upload.resumeOf', { name })} onClick={() => resumeUpload(u.key)} />
        : u.state !== 'finishing' && <Button tone="ghost" icon="pause" label={t('storage.upload.pauseOf', { name })} onClick={() => pauseUpload(u.key)} />}
      {u.state !== 'finishing' && <Button tone="ghost" icon="close" label={t('storage.upload.cancelOf', { name })} onClick={() => void cancelUpload(u.key)} />}
    </>
  );
}

export function UploadItem({ row }: { row: Signal<Upload> }) {
  const u = row.value;
  const error = u.error instanceof DifferentFile ? new Error(t('storage.upload.different')) : u.error;
  return (
    <li class={`upload ${u.state}`}>
      <div class="row">
        <State state={STATES[u.state] || t('bulk.waiting')} isBare />
        <span class="grow ellipsis"><strong>{u.filename}</strong> <span class="quiet">{kindName(u.content)}</span></span>
        <span class="quiet upload-word">{t(WORDS[u.state])}</span>
        <span class="row upload-tools"><Tools u={u} /></span>
      </div>
      {(isGoing(u) || u.state === 'paused') && <Progress value={u.done} max={u.size} label={u.filename} />}
      <p class="quiet num upload-progress">{progress(u)}</p>
      {error !== null && <ErrorBox error={error} />}
    </li>
  );
}
