// Bulk actions that went into the background: how far they are, what failed. Stays until it is dismissed.
import { dismissBulk, retryBulk, sumOf, type BulkRun } from '../core/bulk.ts';
import { t } from '../core/i18n.ts';
import { Button } from '../parts/button.tsx';
import { State } from '../parts/state.tsx';
import { sumText } from './bulk.tsx';

export default function BulkStrip({ run, onShow }: { run: BulkRun; onShow: (run: BulkRun) => void }) {
  const isBusy = run.isBusy.value;
  const { failed } = sumOf(run);
  return (
    <div class="bulk-strip row wrap" role="status">
      <State state={isBusy ? 'busy' : failed ? 'failed' : 'ok'} isBare />
      <span class="grow"><strong>{run.job.title}</strong> <span class="quiet num">{sumText(run)}</span></span>
      {!isBusy && failed > 0 && <Button icon="reload" onClick={() => void retryBulk(run)}>{t('guests.bulk.retry', { n: failed })}</Button>}
      <Button onClick={() => onShow(run)}>{t('guests.bulk.show')}</Button>
      {!isBusy && <Button tone="ghost" icon="close" label={t('guests.bulk.dismiss')} onClick={() => dismissBulk(run)} />}
    </div>
  );
}
