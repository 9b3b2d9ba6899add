// Certificates that the web server shows: what they are, one of one's own, back to the node's.
import { useState } from 'preact/hooks';
import { del, get, post } from '../core/api.ts';
import { dateTime } from '../core/format.ts';
import { t } from '../core/i18n.ts';
import { now } from '../core/live.ts';
import { nodePath } from '../core/paths.ts';
import { canNode } from '../core/perms.ts';
import { Button } from '../parts/button.tsx';
import { FormDialog } from '../parts/dialog.tsx';
import { copyText } from '../parts/equal.tsx';
import { Check } from '../parts/field.tsx';
import { FileText } from '../parts/file-text.tsx';
import { Loading } from '../parts/loading.tsx';
import { Facts, Panel } from '../parts/small.tsx';
import { State } from '../parts/state.tsx';
import { useLoad } from '../parts/use.ts';
import { EXPIRES_SOON_S, type Certificate } from './node-summary.tsx';

const CUSTOM = 'pveproxy-ssl.pem';

interface DialogProps { path: string; onDone: () => void; onClose: () => void }

function UploadDialog({ path, hasOld, onDone, onClose }: DialogProps & { hasOld: boolean }) {
  const [certificates, setCertificates] = useState('');
  const [key, setKey] = useState('');
  const [isNow, setNow] = useState(true);
  const submit = async (): Promise<void> => { await post(path, { certificates, key: key || undefined, force: hasOld || undefined, restart: isNow || undefined }); onDone(); };
  return (
    <FormDialog title={t('node.cert.upload')} submit={t('node.cert.upload')} onSubmit={submit} onClose={onClose}>
      {(fields) => <>
        <FileText label={t('node.cert.chain')} value={certificates} onInput={setCertificates} error={fields['certificates']} help={t('node.cert.chainHelp')} accept=".pem,.crt,.cer" />
        <FileText label={t('node.cert.key')} value={key} onInput={setKey} error={fields['key']} help={t(hasOld ? 'node.cert.keyHelpOld' : 'node.cert.keyHelp')} accept=".pem,.key" />
        <Check label={t('node.cert.now')} help={t('node.cert.nowHelp')} value={isNow} onChange={setNow} />
        {hasOld && <p class="warn-text">{t('node.cert.replaces')}</p>}
      </>}
    </FormDialog>
  );
}

function DeleteDialog({ path, onDone, onClose }: DialogProps) {
  const [isNow, setNow] = useState(true);
  const submit = async (): Promise<void> => { await del(path, { restart: isNow || undefined }); onDone(); };
  return (
    <FormDialog title={t('node.cert.delete')} submit={t('node.delete')} isDanger onSubmit={submit} onClose={onClose}>
      {() => <><p>{t('node.cert.deleteText')}</p><Check label={t('node.cert.now')} help={t('node.cert.nowHelp')} value={isNow} onChange={setNow} /></>}
    </FormDialog>
  );
}

const DAY_S = 86400;

function Until({ time }: { time: number }) {
  const left = time - now.value;
  const state = left < 0 ? 'failed' : left < EXPIRES_SOON_S ? 'warning' : 'ok';
  return <span class="row"><State state={state} isBare /><span>{dateTime(time)} <span class="quiet">{left < 0 ? t('node.cert.over') : t('node.cert.days', { n: Math.floor(left / DAY_S) })}</span></span></span>;
}

function One({ c }: { c: Certificate }) {
  return (
    <div class="certificate">
      <p class="row certificate-head"><strong>{c.filename}</strong><span class="quiet grow">{t(c.filename === CUSTOM ? 'node.cert.custom' : 'node.cert.own')}</span>
        {c.pem && <Button tone="ghost" icon="copy" label={t('node.cert.copy', { name: c.filename ?? '' })} onClick={() => void copyText(c.pem ?? '')} />}</p>
      <Facts facts={[
        [t('node.cert.subject'), c.subject ?? '–'], [t('node.cert.issuer'), c.issuer ?? '–'], [t('node.cert.names'), (c.san ?? []).join(', ') || '–'],
        [t('node.cert.from'), c.notbefore ? dateTime(c.notbefore) : '–'], [t('node.cert.until'), c.notafter ? <Until time={c.notafter} /> : '–'],
        [t('node.cert.keyKind'), `${c['public-key-type'] ?? ''} ${c['public-key-bits'] ?? ''}`],
      ]} />
      <p class="fingerprint"><span class="quiet">SHA-256</span> <code>{c.fingerprint}</code></p>
    </div>
  );
}

export function NodeCertificates({ node }: { node: string }) {
  const path = `${nodePath(node)}/certificates`;
  const list = useLoad(path, '', () => get<Certificate[]>(`${path}/info`));
  const [ask, setAsk] = useState<'upload' | 'delete' | null>(null);
  const close = (): void => setAsk(null);
  const hasOld = (list.value ?? []).some((c) => c.filename === CUSTOM);
  const tools = canNode(node, 'Sys.Modify') && <>{hasOld && <Button icon="trash" onClick={() => setAsk('delete')}>{t('node.cert.delete')}</Button>}<Button icon="upload" onClick={() => setAsk('upload')}>{t('node.cert.upload')}</Button></>;
  return (
    <Panel title={t('node.cert.title')} tools={tools}>
      <Loading of={list}>{(all) => all.map((c) => <One key={c.filename} c={c} />)}</Loading>
      {ask === 'upload' && <UploadDialog path={`${path}/custom`} hasOld={hasOld} onDone={list.reload} onClose={close} />}
      {ask === 'delete' && <DeleteDialog path={`${path}/custom`} onDone={list.reload} onClose={close} />}
    </Panel>
  );
}
