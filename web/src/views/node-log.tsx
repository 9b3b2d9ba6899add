// The log of the host. Without a filter the journal is followed by its cursor; a unit or a span of time is read page by
// page from the end, which also works where the host keeps a file and no journal.
import { useEffect, useState } from 'preact/hooks';
import { t } from '../core/i18n.ts';
import { place, setQuery } from '../core/router.ts';
import { Button } from '../parts/button.tsx';
import { copyText } from '../parts/equal.tsx';
import { DateTimeField } from '../parts/date-field.tsx';
import { ErrorBox } from '../parts/error.tsx';
import { Check, Field } from '../parts/field.tsx';
import { Waiting } from '../parts/loading.tsx';
import { LogBox } from '../parts/log-box.tsx';
import { Panel } from '../parts/small.tsx';
import { lastPage, newer, withOlder, type LogFilter, type LogPage } from './node-log-read.ts';

/** Reading on in a journal costs little; in a file all of it is read. */
const JOURNAL_LOOK_MS = 2000, FILE_LOOK_MS = 5000;
const KEEP = 5000;

function useLog(node: string, f: LogFilter, isFollowed: boolean) {
  const [page, setPage] = useState<LogPage | null>(null);
  const [error, setError] = useState<unknown>(null);
  const [turn, setTurn] = useState(0);
  useEffect(() => {
    let isWanted = true;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const follow = (at: LogPage): void => {
      if (isFollowed)
        timer = setTimeout(() => void look(at), at.cursor ? JOURNAL_LOOK_MS : FILE_LOOK_MS);
    };
    const look = async (at: LogPage): Promise<void> => {
      try {
        const more = document.hidden ? null : await newer(node, f, at);
        if (!isWanted)
          return;
        if (more?.lines.length)
          setPage((old) => old && { ...more, first: old.first, lines: [...old.lines, ...more.lines].slice(-KEEP) });
        setError(null);
        follow(more ?? at);
      } catch (e) {
        if (isWanted)
          setError(e);
      }
    };
    setPage(null);
    setError(null);
    lastPage(node, f).then((found) => {
      if (isWanted) {
        setPage(found);
        follow(found);
      }
    }, (e: unknown) => { if (isWanted) setError(e); });
    return () => { isWanted = false; clearTimeout(timer); };
  }, [`${node} ${f.service} ${f.since} ${f.until}`, isFollowed, turn]);
  const older = async (): Promise<void> => {
    if (!page)
      return;
    try {
      setPage(await withOlder(node, f, page));
    } catch (e) {
      setError(e);
    }
  };
  return { page, error, older, again: () => setTurn((n) => n + 1) };
}

export default function NodeLog({ node }: { node: string }) {
  const query = place.value.query;
  const f: LogFilter = { service: query.get('unit') ?? '', since: query.get('since') ?? '', until: query.get('until') ?? '' };
  const [unit, setUnit] = useState(f.service);
  const [isFollowed, setFollowed] = useState(true);
  const { page, error, older, again } = useLog(node, f, isFollowed && !f.until);
  const tools = <>
    {!f.until && <Check label={t('node.log.follow')} value={isFollowed} onChange={setFollowed} />}
    <Button tone="ghost" icon="reload" label={t('node.again')} onClick={again} />
    {page && page.lines.length > 0 && <Button tone="ghost" icon="copy" label={t('node.task.copyLog')} onClick={() => void copyText(page.lines.join('\n'))} />}
  </>;
  return (
    <Panel title={t('node.log.title')} tools={tools}>
      <form class="filters" onSubmit={(e) => { e.preventDefault(); setQuery({ unit }); }}>
        <Field label={t('node.log.unit')} value={unit} onInput={setUnit} help={t('node.log.unitHelp')} />
        <DateTimeField label={t('node.log.sinceHost')} value={f.since} onChange={(v) => setQuery({ since: v })} />
        <DateTimeField label={t('node.log.untilHost')} value={f.until} onChange={(v) => setQuery({ until: v })} />
        <div class="filter-tools row"><Button type="submit" icon="search">{t('node.tasks.filter')}</Button>
          {(f.service || f.since || f.until) && <Button tone="ghost" onClick={() => { setUnit(''); setQuery({ unit: null, since: null, until: null }); }}>{t('guests.clear')}</Button>}</div>
      </form>
      {error !== null && <div class="pad"><ErrorBox error={error} onRetry={again} /></div>}
      {page ? <div class="host-log">
        {page.first > 0 && <p class="log-older"><Button icon="up" onClick={() => void older()}>{t('node.log.older')}</Button></p>}
        <LogBox label={t('node.log.title')} lines={page.lines} empty={t('node.log.none')} />
      </div> : error === null && <Waiting />}
    </Panel>
  );
}
