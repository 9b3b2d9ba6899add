// One task beside the view. It is part of the address, ?task=UPID; what it shows is loaded when one is first opened.
import { place } from '../core/router.ts';
import { lazy } from './lazy.tsx';

export const OUTCOME_STATE = { running: 'busy', ok: 'ok', warning: 'warning', failed: 'failed' } as const;

const TaskPanel = lazy('node', () => import('./task-panel.tsx'));

export function TaskDrawer() {
  const upid = place.value.query.get('task');
  return upid?.startsWith('UPID:') ? <TaskPanel key={upid} upid={upid} /> : null;
}
