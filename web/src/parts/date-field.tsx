// A time of day on a date, as the browser asks for it: local, "2026-11-22T10:30".
import { useId } from 'preact/hooks';

export function DateTimeField(p: { label: string; value: string; onChange: (value: string) => void }) {
  const id = useId();
  return (
    <div class="field">
      <label for={id}>{p.label}</label>
      <input id={id} type="datetime-local" value={p.value} onChange={(e) => p.onChange(e.currentTarget.value)} />
    </div>
  );
}
