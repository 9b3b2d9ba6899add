// One task: what it does, how far it is, what it says; it can be stopped, and its log be taken along.
import { useLayoutEffect, useMemo, useState } from 'preact/hooks';
import { del } from '../core/api.ts';
import { bytes, dateTime, ago, duration, percent } from '../core/format.ts';
import { language, t, type Key } from '../core/i18n.ts';
import { now } from '../core/live.ts';
import { taskPath } from '../core/paths.ts';
import { canNode } from '../core/perms.ts';
import { logText } from '../core/plan.ts';
import { paceOf, type Look } from '../core/progress.ts';
import { setQuery } from '../core/router.ts';
import { user } from '../core/session.ts';
import { store } from '../core/store.ts';
import { act, nodeOf, outcome, taskTitle } from '../core/tasks.ts';
import { Button } from './button.tsx';
import { FormDialog } from './dialog.tsx';
import { OUTCOME_STATE } from './drawer.tsx';
import { copyText } from './equal.tsx';
import { ErrorBox } from './error.tsx';
import { Icon } from './icon.tsx';
import { LogBox } from './log-box.tsx';
import { Facts } from './small.tsx';
import { State } from './state.tsx';
import { useTask, type TaskLook } from './task-look.ts';

/** Nothing is lost when these end early. */
const HARMLESS: readonly string[] = ['vncproxy', 'termproxy', 'download'];

const PHASES: Readonly<Record<string, Key>> = {
  'volume.copy': 'node.task.copy', mirror: 'node.task.copy', 'volume.merge': 'node.task.merge', merge: 'node.task.merge', download: 'node.task.download', memory: 'node.task.memory',
};

function Progress({ looks }: { looks: readonly Look[] }) {
  const pace = paceOf(looks), last = looks.at(-1);
  if (!pace || !last)
    return null;
  const phase = PHASES[last.phase];
  return (
    <div class="task-progress">
      <progress value={pace.part} max={1} aria-label={t('node.task.progress')} />
      <p class="row wrap num"><strong>{percent(pace.part)}</strong><span>{t('of', { part: bytes(last.done), all: bytes(last.total) })}</span>
        {pace.rate > 0 && <span>{t('node.task.rate', { rate: bytes(pace.rate) })}</span>}
        {pace.left !== undefined && <span>{t('node.task.left', { time: duration(Math.ceil(pace.left)) })}</span>}
        <span class="quiet grow task-phase">{phase ? t(phase) : last.phase}</span></p>
    </div>
  );
}

function StopButton({ upid, title, type }: { upid: string; title: string; type: string }) {
  const [isAsking, setAsking] = useState(false);
  const stop = (): Promise<unknown> => del(taskPath(upid));
  return (
    <>
      <Button icon="stop" onClick={() => (HARMLESS.includes(type) ? void act(t('task.stop'), stop) : setAsking(true))}>{t('task.stop')}</Button>
      {isAsking && <FormDialog title={`${t('task.stop')}: ${title}`} submit={t('task.stop')} isDanger onSubmit={stop} onClose={() => setAsking(false)}>{() => <p>{t('node.task.stopText')}</p>}</FormDialog>}
    </>
  );
}

function Result({ look }: { look: TaskLook }) {
  const s = look.status;
  if (look.state !== 'failed' || !s)
    return null;
  return (
    <div class="error-box task-error" role="alert">
      <Icon name="warn" />
      <div class="grow"><p>{s.exitstatus}</p>{s['error-hint'] && <p class="quiet">{s['error-hint']}</p>}{s['error-code'] && <p class="quiet num">{t('error.code', { code: s['error-code'] })}</p>}</div>
    </div>
  );
}

const guestOf = (id: string) => (/^\d+$/.test(id) ? store.tables.guest.row(id)?.value : undefined);

export default function TaskPanel({ upid }: { upid: string }) {
  const look = useTask(upid);
  const s = look.status, parts = upid.split(':');
  void store.tables.task.ids.value;
  const known = store.tables.task.row(upid)?.value;
  const type = s?.type ?? parts[5] ?? '', id = s?.id ?? parts[6] ?? '', who = s?.user ?? parts[7] ?? '', started = s?.starttime ?? parseInt(parts[4] ?? '0', 16);
  const title = taskTitle(type, id);
  const state = s ? look.state : known ? outcome(known) : 'running';
  const end = known?.endtime ?? look.endtime;
  const guest = guestOf(id);
  const lines = useMemo(() => look.lines.map((l) => logText(l.t)), [look.lines, language.value]); // the clock draws this anew each second
  const mayStop = look.state === 'running' && s !== null && (who === user.value || canNode(nodeOf(upid), 'Sys.Modify'));
  useLayoutEffect(() => { // as soon as it is seen, it can be closed
    const onKey = (e: KeyboardEvent): void => { if (e.key === 'Escape' && !document.querySelector('dialog[open], :popover-open')) setQuery({ task: null }); };
    addEventListener('keydown', onKey);
    return () => removeEventListener('keydown', onKey);
  }, []);
  return (
    <aside class="drawer" aria-label={title}>
      <header class="row">
        <State state={OUTCOME_STATE[state]} isBare /><h2 class="grow ellipsis">{title}</h2>
        {mayStop && <StopButton upid={upid} title={title} type={type} />}
        {look.lines.length > 0 && <Button tone="ghost" icon="copy" label={t('node.task.copyLog')} onClick={() => void copyText(look.lines.map((l) => l.t).join('\n'))} />}
        <Button tone="ghost" icon="close" label={t('close')} onClick={() => setQuery({ task: null })} />
      </header>
      <Facts facts={[
        [t('task.result'), state === 'running' ? <span class="row"><State state="busy" isBare />{t('state.running')}</span> : <State state={OUTCOME_STATE[state]} />], [t('task.user'), s?.tokenid ? `${who}!${s.tokenid}` : who],
        [t('task.started'), <span title={dateTime(started)}>{ago(started, now.value)}</span>],
        [t('task.took'), state === 'running' ? duration(now.value - started) : end === undefined ? '–' : duration(end - started)],
        ...(guest ? [[t('node.task.guest'), <a href={`/guests/${guest.vmid}`}>{guest.name} <span class="num">{guest.vmid}</span></a>] as const] : []),
        [t('guest.node'), nodeOf(upid)],
      ]} />
      {state === 'running' && <Progress looks={look.looks} />}
      <Result look={look} />
      {look.state === 'warning' && s && <p class="warn-text pad">{s.exitstatus}</p>}
      {look.error !== null && <div class="task-error"><ErrorBox error={look.error} /></div>}
      <LogBox label={t('task.log')} lines={lines} empty={t(state === 'running' ? 'node.task.noLog' : 'node.task.wroteNothing')} />
    </aside>
  );
}
