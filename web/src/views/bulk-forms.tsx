// What is asked before something is done to many guests.
import { useState } from 'preact/hooks';
import type { ComponentChildren } from 'preact';
import { get } from '../core/api.ts';
import type { Job } from '../core/bulk.ts';
import { stateOf, tagsOf, type GuestAction } from '../core/guests.ts';
import { t } from '../core/i18n.ts';
import { can } from '../core/perms.ts';
import type { Guest } from '../core/store.ts';
import { Button } from '../parts/button.tsx';
import { ErrorBox } from '../parts/error.tsx';
import { Check, Field, Select, TextArea } from '../parts/field.tsx';
import { State } from '../parts/state.tsx';
import { useLoad } from '../parts/use.ts';
import { actionJob, destroyJob, poolJob, snapshotJob, tagsJob, type TagMode } from './bulk-jobs.ts';

interface Props { guests: readonly Guest[]; onClose: () => void; onStart: (job: Job) => void }

const SHOWN_MAX = 200;

/** Whom it will reach, and whom not. */
function Affected({ guests, job }: { guests: readonly Guest[]; job: Job }) {
  return (
    <ul class="items" aria-label={job.title} tabIndex={0}>
      {guests.slice(0, SHOWN_MAX).map((g) => (
        <li key={g.vmid} class="row"><span class="grow ellipsis">{g.name} <span class="quiet num">{g.vmid}</span></span>
          {job.fits(g) ? <State state={stateOf(g)} /> : <span class="quiet">{t('bulk.skipped')}</span>}</li>
      ))}
      {guests.length > SHOWN_MAX && <li class="quiet">{t('guests.bulk.more', { n: guests.length - SHOWN_MAX })}</li>}
    </ul>
  );
}

function Form(p: Props & { job: Job; children?: ComponentChildren; isDanger?: boolean; isReady?: boolean }) {
  const n = p.guests.filter(p.job.fits).length;
  const submit = (event: Event): void => {
    event.preventDefault();
    p.onStart(p.job);
  };
  return (
    <form class="stack" onSubmit={submit}>
      {p.children}
      <Affected guests={p.guests} job={p.job} />
      <footer class="row dialog-foot">
        <Button onClick={p.onClose}>{t('cancel')}</Button>
        <Button type="submit" tone={p.isDanger ? 'danger' : 'main'} isDisabled={n === 0 || p.isReady === false}>{t('bulk.go', { n })}</Button>
      </footer>
    </form>
  );
}

export function ActionForm(p: Props & { action: GuestAction }) {
  return <Form {...p} job={actionJob(p.action)} isDanger={p.action.isHard}>{p.action.isHard && <p class="warn-text">{t('confirm.hard')}</p>}</Form>;
}

const NAME = /^[a-z][\w-]{1,39}$/i;

export function SnapshotForm(p: Props) {
  const [name, setName] = useState('');
  const [description, setDescription] = useState('');
  const [hasMemory, setMemory] = useState(false);
  const isWrong = name !== '' && !NAME.test(name);
  return (
    <Form {...p} job={snapshotJob({ name, description, hasMemory })} isReady={NAME.test(name)}>
      <Field label={t('snapshot.name')} value={name} onInput={setName} isRequired hasFocus help={t('snapshot.nameHelp')} error={isWrong ? t('snapshot.nameHelp') : undefined} />
      <TextArea label={t('key.description')} value={description} onInput={setDescription} />
      {p.guests.some((g) => g.status === 'running') && <Check label={t('snapshot.memory')} help={t('snapshot.memoryHelp')} value={hasMemory} onChange={setMemory} />}
    </Form>
  );
}

const isMode = (v: string): v is TagMode => v === 'add' || v === 'remove' || v === 'set';

export function TagsForm(p: Props) {
  const [mode, setMode] = useState<TagMode>('add');
  const [text, setText] = useState('');
  const tags = text.split(/[;,\s]+/).filter(Boolean);
  const here = [...new Set(p.guests.flatMap(tagsOf))].sort();
  const title = { add: t('guests.tags.add'), remove: t('guests.tags.remove'), set: t('guests.tags.set') }[mode];
  const toggle = (tag: string): void => setText((tags.includes(tag) ? tags.filter((x) => x !== tag) : [...tags, tag]).join(' '));
  return (
    <Form {...p} job={tagsJob(`${title} ${tags.join(' ')}`.trim(), mode, tags)} isReady={mode === 'set' || tags.length > 0}>
      <Select label={t('guests.tags.what')} value={mode} onChange={(v) => { if (isMode(v)) setMode(v); }}
        options={[['add', t('guests.tags.add')], ['remove', t('guests.tags.remove')], ['set', t('guests.tags.set')]]} />
      <Field label={t('guest.tags')} value={text} onInput={setText} help={t(mode === 'set' ? 'guests.tags.setHelp' : 'guests.tags.help')} hasFocus />
      {here.length > 0 && <div class="row wrap" role="group" aria-label={t('guests.tags.here')}>
        {here.map((tag) => <button key={tag} type="button" class="chip" aria-pressed={tags.includes(tag)} onClick={() => toggle(tag)}>{tag}</button>)}
      </div>}
    </Form>
  );
}

interface Pool { poolid: string; comment?: string }

export function PoolForm(p: Props) {
  const { value, error, reload } = useLoad('pools', '', () => get<Pool[]>('/pools'));
  const [pool, setPool] = useState('');
  const pools = (value ?? []).filter((x) => can(`/pool/${x.poolid}`, 'Pool.Allocate'));
  const title = pool ? `${t('guests.doPool')} ${pool}` : t('guests.pool.none');
  if (error)
    return <ErrorBox error={error} onRetry={reload} />;
  return (
    <Form {...p} job={poolJob(title, pool)} isReady={value !== null}>
      <Select label={t('guest.pool')} value={pool} onChange={setPool} help={t('guests.pool.help')}
        options={[['', t('guests.pool.none')], ...pools.map((x) => [x.poolid, x.comment ? `${x.poolid} (${x.comment})` : x.poolid] as const)]} />
    </Form>
  );
}

/** One guest by its name, several by their number: what was chosen by mistake does not go by habit. */
export function DestroyForm(p: Props) {
  const job = destroyJob();
  const leaving = p.guests.filter(job.fits);
  const word = leaving.length === 1 ? (leaving[0]?.name ?? '') : String(leaving.length);
  const [typed, setTyped] = useState('');
  return (
    <Form {...p} job={job} isDanger isReady={typed === word}>
      <p class="warn-text">{t('guests.destroy.text', { n: leaving.length })}</p>
      {leaving.length > 0 && <Field label={t('confirm.type', { name: word })} value={typed} onInput={setTyped} hasFocus />}
    </Form>
  );
}
