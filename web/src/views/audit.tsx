// Who did what: the audit log, filtered, verified, saved; and the cluster's log.
import { useEffect, useRef, useState } from 'preact/hooks';
import { ago, dateTime } from '../core/format.ts';
import { t } from '../core/i18n.ts';
import { now } from '../core/live.ts';
import { can } from '../core/perms.ts';
import { place, setQuery, type PathParams } from '../core/router.ts';
import { Button } from '../parts/button.tsx';
import { ErrorBox } from '../parts/error.tsx';
import { Select } from '../parts/field.tsx';
import { Waiting } from '../parts/loading.tsx';
import { Menu, MenuItem } from '../parts/menu.tsx';
import { saveText } from '../parts/save-text.ts';
import { Empty, Tabs } from '../parts/small.tsx';
import { State } from '../parts/state.tsx';
import { Suggest } from '../parts/suggest.tsx';
import { ColumnMenu, Table, type Column } from '../parts/table.tsx';
import { useRows } from '../parts/table-rows.ts';
import { useUsers } from './access-data.ts';
import { DateField, SearchBox } from './access-parts.tsx';
import { recordsAsCsv, asLines, isFound, isRefused, loadPage, objectOf, PAGE, resultOf, whatOf, whoOf, type AuditRecord, type Filter } from './audit-data.ts';
import { ClusterLog } from './audit-log.tsx';
import { RecordDialog } from './audit-record.tsx';
import { VerifyButton } from './audit-verify.tsx';

const openRecord = (r: AuditRecord): void => setQuery({ record: String(r.seq), at: String(r.time) }, { push: true });

function What({ record: r }: { record: AuditRecord }) {
  if (r.event === 'login')
    return <>{t('audit.login')}</>;
  if (r.event === 'task')
    return <span title={r.upid ?? ''}>{t('audit.taskEnd')} <span class="mono">{whatOf(r)}</span></span>;
  return <span class="mono" title={whatOf(r)}>{whatOf(r)}</span>;
}

const COLUMNS: readonly Column<AuditRecord>[] = [
  { id: 'time', title: 'audit.time', width: '9rem', cell: (r) => <button type="button" class="link num" title={dateTime(Math.floor(r.time / 1000))} onClick={() => openRecord(r)}>{ago(Math.floor(r.time / 1000), now.value)}</button>, sort: (r) => r.seq },
  { id: 'who', title: 'audit.who', width: '10rem', yields: 1, cell: (r) => (r.user ? r.user : <span class="quiet">{r.claimed ? `${r.claimed}?` : t('audit.nobody')}</span>), sort: whoOf },
  { id: 'what', title: 'audit.what', cell: (r) => <What record={r} />, sort: whatOf },
  { id: 'object', title: 'audit.object', yields: 1, width: '12rem', cell: (r) => <span title={r.object ?? ''}>{objectOf(r)}</span>, sort: (r) => objectOf(r) || undefined },
  { id: 'result', title: 'audit.result', yields: 1, width: '11rem', cell: (r) => <State state={isRefused(r) ? 'failed' : 'ok'} word={resultOf(r)} />, sort: resultOf },
  { id: 'from', title: 'audit.from', yields: 2, width: '9rem', cell: (r) => <span class="mono">{r.from ?? ''}</span>, sort: (r) => r.from },
  { id: 'event', title: 'audit.event', isHidden: true, width: '6rem', cell: (r) => r.event, sort: (r) => r.event },
  { id: 'seq', title: 'audit.number', isHidden: true, isEnd: true, width: '6rem', cell: (r) => r.seq, sort: (r) => r.seq },
];

function filterNow(): Filter {
  const { query } = place.value;
  const result = query.get('result');
  return { user: query.get('user') ?? '', since: query.get('since') ?? '', until: query.get('until') ?? '', text: query.get('q') ?? '', result: result === 'ok' || result === 'refused' ? result : '' };
}

interface Loaded { records: readonly AuditRecord[]; isAll: boolean }

/** Pages of the log, newest first; what the server filters by begins them anew. */
function useRecords(f: Filter) {
  const [turn, setTurn] = useState(0);
  const [state, setState] = useState<Loaded | null>(null);
  const [error, setError] = useState<unknown>(null);
  const [isBusy, setBusy] = useState(false);
  const [from, setFrom] = useState(0); // records after the first look would shift the pages
  const asked = useRef(0); // only the last question's answer is shown
  const fetchPage = async (old: Loaded | null, until: number): Promise<void> => {
    const mine = ++asked.current;
    setBusy(true);
    setError(null);
    try {
      const page = await loadPage(f, old?.records.length ?? 0, until);
      if (mine === asked.current)
        setState({ records: [...(old?.records ?? []), ...page], isAll: page.length < PAGE });
    } catch (e) {
      if (mine === asked.current)
        setError(e);
    }
    if (mine === asked.current)
      setBusy(false);
  };
  useEffect(() => {
    const until = Math.floor(Date.now() / 1000) + 1;
    setFrom(until);
    void fetchPage(null, until);
  }, [f.user, f.since, f.until, turn]);
  return { state, error, isBusy, more: () => void fetchPage(state, from), reload: () => setTurn((n) => n + 1) };
}

function Filters({ f }: { f: Filter }) {
  const users = useUsers().value ?? [];
  const isAny = Boolean(f.user || f.since || f.until || f.text || f.result);
  return (
    <div class="audit-filters">
      <Suggest label={t('audit.who')} value={f.user} onInput={(user) => setQuery({ user })} suggestions={users.map((u) => [u.userid, ''] as const)} />
      <DateField label={t('audit.since')} value={f.since} onInput={(since) => setQuery({ since })} />
      <DateField label={t('audit.until')} value={f.until} onInput={(until) => setQuery({ until })} />
      <Select label={t('audit.result')} value={f.result} options={[['', t('guests.all')], ['ok', t('audit.done')], ['refused', t('audit.refused')]]} onChange={(result) => setQuery({ result })} />
      {isAny && <Button tone="ghost" icon="close" onClick={() => setQuery({ user: null, since: null, until: null, q: null, result: null })}>{t('guests.clear')}</Button>}
    </div>
  );
}

function AuditList() {
  const f = filterNow();
  const { state, error, isBusy, more, reload } = useRecords(f);
  const found = (state?.records ?? []).filter((r) => isFound(r, f));
  const rows = useRows(found, (r) => String(r.seq));
  const { query } = place.value;
  const seq = Number(query.get('record'));
  const stamp = new Date(now.value * 1000).toISOString().slice(0, 10);
  return (
    <>
      <div class="row wrap access-tools">
        <SearchBox label={t('audit.search')} />
        <span class="grow" />
        <Button icon="reload" label={t('audit.reload')} onClick={reload} />
        <VerifyButton />
        {found.length > 0 && <Menu label={t('audit.save')} icon="download">
          <MenuItem onClick={() => saveText(`holm-audit-${stamp}.jsonl`, asLines(found), 'application/x-ndjson')}>{t('audit.saveLines', { n: found.length })}</MenuItem>
          <MenuItem onClick={() => saveText(`holm-audit-${stamp}.csv`, recordsAsCsv(found), 'text/csv')}>{t('audit.saveCsv', { n: found.length })}</MenuItem>
        </Menu>}
        <ColumnMenu name="audit" columns={COLUMNS} />
      </div>
      <Filters f={f} />
      {error !== null && <ErrorBox error={error} onRetry={reload} />}
      {!state ? error === null && <Waiting />
        : rows.length ? <Table name="audit" label={t('nav.audit')} columns={COLUMNS} rows={rows} idOf={(r) => String(r.seq)} titleOf={whatOf} firstSort="time" isFirstDown onOpen={openRecord} />
          : <Empty icon="search" title={t('audit.noMatch')} />}
      {state && <footer class="row audit-foot">
        <span class="quiet num grow">{t('audit.shown', { part: found.length, all: state.records.length })}</span>
        {state.isAll ? <span class="quiet">{t('audit.whole')}</span> : <Button isBusy={isBusy} onClick={more}>{t('audit.more')}</Button>}
      </footer>}
      {seq > 0 && <RecordDialog key={seq} seq={seq} at={Number(query.get('at'))} known={state?.records.find((r) => r.seq === seq)} />}
    </>
  );
}

export default function Audit(_p: { params: PathParams }) {
  const mayAudit = can('/', 'Sys.Audit');
  const tab = mayAudit && place.value.query.get('tab') !== 'log' ? '/audit' : '/audit?tab=log';
  return (
    <div class="view full">
      <header class="view-head row wrap"><h1>{t('nav.audit')}</h1></header>
      <Tabs label={t('nav.audit')} current={tab} tabs={[...(mayAudit ? [['/audit', t('nav.audit')] as const] : []), ['/audit?tab=log', t('audit.log')] as const]} />
      {tab === '/audit' ? <AuditList /> : <ClusterLog />}
    </div>
  );
}
