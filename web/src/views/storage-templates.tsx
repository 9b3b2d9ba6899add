// Templates that the administrator of the node has put into its list. Without a list there is nothing to show.
import { get, post } from '../core/api.ts';
import { t } from '../core/i18n.ts';
import { nodePath } from '../core/paths.ts';
import { act } from '../core/tasks.ts';
import type { Volume } from '../core/volumes.ts';
import { Button } from '../parts/button.tsx';
import { Panel, Tag } from '../parts/small.tsx';
import { State } from '../parts/state.tsx';
import { useLoad } from '../parts/use.ts';

interface Template { template: string; package: string; version?: string; architecture?: string; headline: string }

function Row({ row, isThere, onGet }: { row: Template; isThere: boolean; onGet: () => void }) {
  return (
    <li class="card">
      <div class="grow">
        <h3>{row.headline || row.package}</h3>
        <p class="row wrap tags">{row.version && <Tag name={row.version} />}{row.architecture && <Tag name={row.architecture} />}</p>
        <p class="quiet card-note break">{isThere && <State state="ok" isBare />} {row.template}</p>
      </div>
      <Button icon="download" tone={isThere ? 'ghost' : 'plain'} label={t(isThere ? 'storage.images.again' : 'storage.images.get', { name: row.template })} onClick={onGet} />
    </li>
  );
}

export function Templates({ node, storage, list }: { node: string; storage: string; list: readonly Volume[] }) {
  const path = `${nodePath(node)}/aplinfo`;
  const { value } = useLoad(`templates ${node}`, '', () => get<Template[]>(path));
  if (!value?.length)
    return null;
  return (
    <Panel title={t('storage.kinds.vztmpl')}>
      <ul class="cards">{value.map((row) => (
        <Row key={row.template} row={row} isThere={list.some((v) => v.volid === `${storage}:vztmpl/${row.template}`)}
          onGet={() => void act(t('task.download', { id: row.template }), () => post(path, { storage, template: row.template }))} />
      ))}</ul>
    </Panel>
  );
}
