// One record of the audit log, whole. Its number and time are part of the address.
import { dateTime } from '../core/format.ts';
import { t } from '../core/i18n.ts';
import { setQuery } from '../core/router.ts';
import { Button } from '../parts/button.tsx';
import { Dialog } from '../parts/dialog.tsx';
import { copyText } from '../parts/equal.tsx';
import { ErrorBox } from '../parts/error.tsx';
import { Facts } from '../parts/small.tsx';
import { State } from '../parts/state.tsx';
import { useLoad } from '../parts/use.ts';
import { findRecord, isRefused, resultOf, whatOf, whoOf, type AuditRecord } from './audit-data.ts';

function Digest({ label, text }: { label: string; text: string | undefined }) {
  return <div><dt>{label}</dt><dd class={text ? 'mono digest' : 'quiet'}>{text ?? t('audit.noDigest')}</dd></div>;
}

function Change({ record: r }: { record: AuditRecord }) {
  if (!r.object)
    return null;
  const isSame = r.before !== undefined && r.before === r.after;
  return (
    <section class="stack">
      <h3>{t('audit.change')}</h3>
      <p class="mono">{r.object}</p>
      <dl class="digests"><Digest label={t('audit.before')} text={r.before} /><Digest label={t('audit.after')} text={r.after} /></dl>
      {isSame && <p class="quiet">{t('audit.unchanged')}</p>}
    </section>
  );
}

function Whole({ record: r }: { record: AuditRecord }) {
  const json = JSON.stringify(r, null, 2);
  return (
    <div class="stack">
      <Facts facts={[
        [t('audit.time'), <span class="num">{dateTime(Math.floor(r.time / 1000))}</span>],
        [r.user ? t('audit.who') : t('audit.claimed'), whoOf(r) || t('audit.nobody')],
        [t('audit.from'), <span class="mono">{r.from ?? '–'}</span>],
        [t('audit.result'), <State state={isRefused(r) ? 'failed' : 'ok'} word={resultOf(r)} />],
      ]} />
      <p class="mono call">{whatOf(r)}</p>
      {r.interrupted ? <p class="warn-text">{t('audit.interrupted')}</p> : null}
      {r.upid && <p><Button icon="tasks" onClick={() => setQuery({ record: null, at: null, task: r.upid ?? null })}>{t('audit.task')}</Button></p>}
      <Change record={r} />
      <div class="code-box">
        <div class="row"><h3 class="grow">{t('audit.raw')}</h3><Button tone="ghost" icon="copy" label={t('copy')} onClick={() => void copyText(json)} /></div>
        <pre class="code wrapped" tabIndex={0} aria-label={t('audit.raw')}>{json}</pre>
      </div>
    </div>
  );
}

export function RecordDialog({ seq, at, known }: { seq: number; at: number; known: AuditRecord | undefined }) {
  const { value, error, reload } = useLoad(`record ${seq}`, '', () => (known ? Promise.resolve(known) : findRecord(seq, at)));
  return (
    <Dialog title={t('audit.record', { id: String(seq) })} isWide onClose={() => setQuery({ record: null, at: null })}>
      {value ? <Whole record={value} /> : error ? <ErrorBox error={error} onRetry={reload} /> : <p class="quiet">{t('audit.recordGone')}</p>}
    </Dialog>
  );
}
