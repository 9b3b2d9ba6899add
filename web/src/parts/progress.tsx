// How far something is that comes to an end. Full is good here, other than with a Meter.
import { percent } from '../core/format.ts';

export function Progress(p: { value: number; max: number; label: string }) {
  const part = p.max > 0 ? Math.min(1, p.value / p.max) : 0;
  return (
    <span class="meter-around">
      <svg class="meter good" role="progressbar" aria-label={p.label} aria-valuenow={Math.round(part * 100)} aria-valuemin={0} aria-valuemax={100}
        viewBox="0 0 100 4" preserveAspectRatio="none">
        <rect class="meter-part" width={part * 100} height="4" />
      </svg>
      <span class="num meter-text">{percent(part)}</span>
    </span>
  );
}
