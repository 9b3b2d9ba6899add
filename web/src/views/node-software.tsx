// Versions of what a node runs, and a report for those who are asked for help.
import { useState } from 'preact/hooks';
import { get } from '../core/api.ts';
import { t } from '../core/i18n.ts';
import { nodePath } from '../core/paths.ts';
import { Button } from '../parts/button.tsx';
import { copyText } from '../parts/equal.tsx';
import { ErrorBox } from '../parts/error.tsx';
import { Loading } from '../parts/loading.tsx';
import { PlainTable, type PlainColumn } from '../parts/plain-table.tsx';
import { Facts, Panel } from '../parts/small.tsx';
import { saveText } from '../parts/save-text.ts';
import { State } from '../parts/state.tsx';
import { useLoad } from '../parts/use.ts';

interface Package { Package: string; Title: string; Version: string; Arch: string; CurrentState: string; RunningKernel?: string; ManagerVersion?: string }
interface Version { version: string; release: string }

const COLUMNS: readonly PlainColumn<Package>[] = [
  { id: 'package', title: 'node.sw.package', cell: (p) => p.Package },
  { id: 'version', title: 'node.version', cell: (p) => <span class="num">{p.Version}</span> },
  { id: 'title', title: 'node.service.what', yields: 1, cell: (p) => p.Title },
  { id: 'arch', title: 'node.machine', yields: 2, cell: (p) => p.Arch },
  { id: 'state', title: 'guest.status', yields: 1, cell: (p) => <span class="row"><State state={p.CurrentState === 'Installed' ? 'ok' : 'warning'} isBare />{p.CurrentState}</span> },
];

function Report({ node }: { node: string }) {
  const [text, setText] = useState('');
  const [isBusy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>(null);
  const make = async (): Promise<void> => {
    setBusy(true);
    setError(null);
    try {
      setText(await get<string>(`${nodePath(node)}/report`));
    } catch (e) {
      setError(e);
    }
    setBusy(false);
  };
  const tools = <>
    {text && <Button icon="copy" onClick={() => void copyText(text)}>{t('copy')}</Button>}
    {text && <Button icon="download" onClick={() => saveText(`holm-report-${node}.txt`, text)}>{t('node.sw.saveFile')}</Button>}
    <Button tone={text ? 'ghost' : 'plain'} icon={text ? 'reload' : 'log'} isBusy={isBusy} {...(text ? { label: t('node.again') } : { children: t('node.sw.makeReport') })} onClick={() => void make()} />
  </>;
  return (
    <Panel title={t('node.sw.report')} tools={tools}>
      {error !== null && <div class="pad"><ErrorBox error={error} onRetry={() => void make()} /></div>}
      {text ? <pre class="code report" tabIndex={0} aria-label={t('node.sw.report')}>{text}</pre> : <p class="quiet pad">{t('node.sw.reportHelp')}</p>}
    </Panel>
  );
}

export default function NodeSoftware({ node }: { node: string }) {
  const path = nodePath(node);
  const version = useLoad(`version ${node}`, '', () => get<Version>(`${path}/version`));
  const packages = useLoad(`packages ${node}`, '', () => get<Package[]>(`${path}/apt/versions`));
  return (
    <div class="stack">
      <Report node={node} />
      <Panel title={t('node.sw.title')}>
        {version.value && <Facts facts={[[t('node.sw.api'), <span class="num">{version.value.version}</span>]]} />}
        <Loading of={packages}>{(all) => <PlainTable label={t('node.sw.title')} columns={COLUMNS} rows={all} idOf={(p) => p.Package} empty={t('node.sw.none')} />}</Loading>
      </Panel>
    </div>
  );
}
