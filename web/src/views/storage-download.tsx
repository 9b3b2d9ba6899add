// What the node fetches itself: cloud images of the catalogue, templates, a file of any address. Each is a task.
import { t } from '../core/i18n.ts';
import { kindsOf } from '../core/volumes.ts';
import { Panel } from '../parts/small.tsx';
import { mayFetch, useContent, type StorageEntry } from './storage-data.ts';
import { DownloadForm } from './storage-download-form.tsx';
import { CloudImages } from './storage-images.tsx';
import { Templates } from './storage-templates.tsx';
import { recentTasks, TaskList } from './task-list.tsx';

const SHOWN = 6;

function Recent({ node }: { node: string }) {
  const tasks = recentTasks((task) => task.type === 'download' && task.node === node).slice(0, SHOWN);
  return tasks.length ? <Panel title={t('storage.download.recent')}><TaskList tasks={tasks} /></Panel> : null;
}

export function StorageDownload({ entry }: { entry: StorageEntry }) {
  const { node, config } = entry;
  const list = useContent(node, config.storage).value ?? [];
  const kinds = kindsOf(config.content);
  return (
    <div class="stack downloads">
      {mayFetch(node, config.storage) && <DownloadForm node={node} config={config} list={list} />}
      <Recent node={node} />
      {kinds.includes('import') && <CloudImages node={node} storage={config.storage} list={list} />}
      {kinds.includes('vztmpl') && <Templates node={node} storage={config.storage} list={list} />}
    </div>
  );
}
