// Is the log whole? The server walks the chain of hashes; what it found is said in words.
import { useState } from 'preact/hooks';
import { get } from '../core/api.ts';
import { t } from '../core/i18n.ts';
import { Button } from '../parts/button.tsx';
import { Dialog } from '../parts/dialog.tsx';
import { copyText } from '../parts/equal.tsx';
import { ErrorBox } from '../parts/error.tsx';
import { Facts } from '../parts/small.tsx';
import { State } from '../parts/state.tsx';
import { useLoad } from '../parts/use.ts';

interface Report {
  ok: number; records: number; files: number; first: number; last: number; removed: number; head: string;
  'torn-bytes'?: number; 'broken-file'?: number; 'broken-line'?: number; 'broken-record'?: number; reason?: string;
}

function Found({ report: r }: { report: Report }) {
  const isOk = r.ok === 1;
  return (
    <>
      <p class="row verify-result"><State state={isOk ? 'ok' : 'failed'} word={isOk ? t('audit.verify.ok') : t('audit.verify.broken')} /></p>
      {!isOk && <p class="bad-text">{t('audit.verify.where', { record: r['broken-record'] ?? 0, file: r['broken-file'] ?? 0, line: r['broken-line'] ?? 0 })} {r.reason}</p>}
      <Facts facts={[
        [t('audit.verify.records'), <span class="num">{t('audit.verify.range', { n: r.records, first: r.first, last: r.last })}</span>],
        [t('audit.verify.files'), <span class="num">{r.files}</span>], [t('audit.verify.removed'), <span class="num">{r.removed}</span>],
        ...(r['torn-bytes'] ? [[t('audit.verify.torn'), <span class="num">{r['torn-bytes']}</span>] as const] : []),
      ]} />
      <div class="code-box">
        <div class="row"><h3 class="grow">{t('audit.verify.head', { n: r.last })}</h3><Button tone="ghost" icon="copy" label={t('copy')} onClick={() => void copyText(`${r.last} ${r.head}`)} /></div>
        <pre class="code wrapped" tabIndex={0} aria-label={t('audit.verify.head', { n: r.last })}>{r.head}</pre>
      </div>
      <p class="quiet">{t('audit.verify.help')}</p>
    </>
  );
}

function VerifyDialog({ onClose }: { onClose: () => void }) {
  const { value, error, reload } = useLoad('verify', '', () => get<Report>('/cluster/audit/verify'));
  return (
    <Dialog title={t('audit.verify')} onClose={onClose}>
      <div class="stack" aria-live="polite">
        {value ? <Found report={value} /> : error ? <ErrorBox error={error} onRetry={reload} /> : <p class="row"><span class="spinner" />{t('audit.verify.busy')}</p>}
        <footer class="row dialog-foot"><Button tone="main" onClick={onClose}>{t('close')}</Button></footer>
      </div>
    </Dialog>
  );
}

export function VerifyButton() {
  const [isOpen, setOpen] = useState(false);
  return <><Button icon="shield" onClick={() => setOpen(true)}>{t('audit.verify')}</Button>{isOpen && <VerifyDialog onClose={() => setOpen(false)} />}</>;
}
