// In which order guests are started and shut down: by the order of `startup`, those without one last, then by number.
import { parseProperties } from './property.ts';

export interface Ordered { vmid: number; startup: string }

export function orderOf(startup: string): number | undefined {
  const order = parseProperties(startup, 'order').get('order');
  return order !== undefined && /^\d+$/.test(order) ? Number(order) : undefined;
}

export function inOrder<T extends Ordered>(list: readonly T[], isReversed: boolean): T[] {
  const key = (x: T): number => orderOf(x.startup) ?? Infinity;
  const sorted = [...list].sort((a, b) => (key(a) === key(b) ? a.vmid - b.vmid : key(a) - key(b)));
  return isReversed ? sorted.reverse() : sorted;
}
