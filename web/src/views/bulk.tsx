// One action for many guests: what it needs to know, what will happen, then what became of each.
import { dismissBulk, planBulk, retryBulk, startBulk, sumOf, type BulkItem, type BulkRun, type Job } from '../core/bulk.ts';
import type { GuestAction } from '../core/guests.ts';
import { t } from '../core/i18n.ts';
import type { Guest } from '../core/store.ts';
import type { Signal } from '@preact/signals';
import { Button } from '../parts/button.tsx';
import { Dialog } from '../parts/dialog.tsx';
import { State } from '../parts/state.tsx';
import { ActionForm, DestroyForm, PoolForm, SnapshotForm, TagsForm } from './bulk-forms.tsx';

export type BulkKind = GuestAction | 'snapshot' | 'tags' | 'pool' | 'destroy';
export interface BulkProps { kind?: BulkKind; guests?: readonly Guest[]; run?: BulkRun; onStart: (run: BulkRun) => void; onClose: () => void }

const SHOWN_MAX = 200;
const NAMES = { snapshot: 'snapshot.take', tags: 'guests.doTags', pool: 'guests.doPool', destroy: 'action.destroy' } as const;

function ItemRow({ item }: { item: Signal<BulkItem> }) {
  const { guest, state, text } = item.value;
  const word = state === 'waiting' ? t('bulk.waiting') : state === 'skipped' ? t('bulk.skipped') : null;
  return (
    <li class="row">
      <span class="grow ellipsis">{guest.name} <span class="quiet num">{guest.vmid}</span></span>
      {word ? <span class="quiet">{word}</span> : <State state={state} />}
      {text && <span class="bad-text bulk-why">{text}</span>}
    </li>
  );
}

/** Of very many the first, and all that failed. */
function Items({ run }: { run: BulkRun }) {
  const shown = run.items.filter((item, i) => i < SHOWN_MAX || item.value.state === 'failed');
  return (
    <ul class="items" aria-label={run.job.title}>
      {shown.map((item) => <ItemRow key={item.peek().guest.vmid} item={item} />)}
      {shown.length < run.items.length && <li class="quiet">{t('guests.bulk.more', { n: run.items.length - shown.length })}</li>}
    </ul>
  );
}

export function sumText(run: BulkRun): string {
  const { done, failed, skipped, all } = sumOf(run);
  const parts = [t('guests.bulk.done', { n: done, all })];
  if (failed)
    parts.push(t('guests.bulk.failed', { n: failed }));
  if (skipped)
    parts.push(t('guests.bulk.skipped', { n: skipped }));
  return parts.join(' · ');
}

function Results({ run, onClose }: { run: BulkRun; onClose: () => void }) {
  const isBusy = run.isBusy.value;
  const { failed } = sumOf(run);
  const dismiss = (): void => {
    if (!run.isBusy.peek())
      dismissBulk(run);
    onClose();
  };
  return (
    <Dialog title={`${run.job.title}: ${t('bulk.title', { n: run.items.length })}`} onClose={onClose}>
      <p class="row bulk-sum" role="status">{isBusy && <State state="busy" isBare />}{sumText(run)}</p>
      <Items run={run} />
      <footer class="row dialog-foot">
        {!isBusy && failed > 0 && <Button icon="reload" onClick={() => void retryBulk(run)}>{t('guests.bulk.retry', { n: failed })}</Button>}
        <Button tone="main" onClick={dismiss}>{t(isBusy ? 'bulk.background' : 'close')}</Button>
      </footer>
    </Dialog>
  );
}

function Form(p: { kind: BulkKind; guests: readonly Guest[]; onClose: () => void; onStart: (job: Job) => void }) {
  switch (p.kind) {
    case 'snapshot': return <SnapshotForm {...p} />;
    case 'tags': return <TagsForm {...p} />;
    case 'pool': return <PoolForm {...p} />;
    case 'destroy': return <DestroyForm {...p} />;
    default: return <ActionForm {...p} action={p.kind} />;
  }
}

export default function BulkDialog({ kind, guests = [], run, onStart, onClose }: BulkProps) {
  const start = (job: Job): void => {
    const planned = planBulk(job, guests);
    void startBulk(planned);
    onStart(planned);
  };
  if (run)
    return <Results run={run} onClose={onClose} />;
  if (!kind)
    return null;
  const what = typeof kind === 'string' ? t(NAMES[kind]) : t(kind.label);
  return <Dialog title={`${what}: ${t('bulk.title', { n: guests.length })}`} onClose={onClose}><Form kind={kind} guests={guests} onClose={onClose} onStart={start} /></Dialog>;
}
