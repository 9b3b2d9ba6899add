// What a node, a guest or a storage used over time (…/rrddata). The drawing library comes when a chart is first seen.
import { useEffect, useRef, useState } from 'preact/hooks';
import type uPlot from 'uplot';
import { get } from '../core/api.ts';
import { bytes, percent } from '../core/format.ts';
import { language, t, type Key } from '../core/i18n.ts';
import { theme } from '../core/prefs.ts';
import { ErrorBox } from './error.tsx';
import { Select } from './field.tsx';
import { Panel } from './small.tsx';
import { useLoad } from './use.ts';

export type ChartUnit = 'percent' | 'bytes' | 'bytes/s' | 'number';
export interface ChartLine { field: string; label: string }
export interface ChartDef { title: string; unit: ChartUnit; lines: readonly ChartLine[]; /** Upper end of the scale, else what the values need. */ max?: number }

type Point = Readonly<Record<string, number>>;
const TIMEFRAMES: readonly (readonly [string, Key])[] = [['hour', 'chart.hour'], ['day', 'chart.day'], ['week', 'chart.week'], ['month', 'chart.month'], ['year', 'chart.year']];
const RELOAD_MS = 60_000;
const HEIGHT = 170;
const COLOURS = ['--chart-1', '--chart-2'] as const;

function shown(value: number, unit: ChartUnit): string {
  switch (unit) {
    case 'percent': return percent(value);
    case 'bytes': return bytes(value);
    case 'bytes/s': return `${bytes(value)}/s`;
    case 'number': return new Intl.NumberFormat(language.value, { maximumFractionDigits: 2 }).format(value);
  }
}

const css = (name: string): string => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

/** light-dark() is resolved by an element, not by a canvas. */
function colour(name: string): string {
  const probe = document.createElement('i');
  probe.style.color = css(name);
  document.body.append(probe);
  const value = getComputedStyle(probe).color;
  probe.remove();
  return value;
}

function optionsOf(def: ChartDef, width: number): uPlot.Options {
  const ink = colour('--ink-2'), grid = { stroke: colour('--line'), width: 1 };
  const font = `11px ${css('--font')}`;
  const axis = { stroke: ink, grid, ticks: grid, font };
  return {
    width, height: HEIGHT, legend: { show: false }, padding: [8, 8, 0, 0],
    cursor: { y: false, points: { size: 6 } },
    scales: { y: { range: (_u, _min, max) => [0, def.max ?? (max > 0 ? max * 1.1 : 1)] } },
    axes: [{ ...axis, space: 70 }, { ...axis, size: 64, values: (_u, ticks) => ticks.map((v) => shown(v, def.unit)) }],
    series: [{}, ...def.lines.map((line, i) => {
      const stroke = colour(COLOURS[i % COLOURS.length] ?? '--chart-1');
      return { label: line.label, stroke, width: 1.6, ...(i ? { dash: [5, 3] } : { fill: stroke.replace(/^rgb\((.*)\)$/, 'rgba($1, 0.12)') }), points: { show: false }, spanGaps: false };
    })],
  };
}

function dataOf(def: ChartDef, points: readonly Point[]): uPlot.AlignedData {
  return [points.map((p) => p['time'] ?? 0), ...def.lines.map((line) => points.map((p) => p[line.field] ?? null))];
}

function Chart({ def, points }: { def: ChartDef; points: readonly Point[] }) {
  const box = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const latest = useRef(points); // they may come before the library does
  latest.current = points;
  const [at, setAt] = useState<number | null>(null);
  useEffect(() => {
    let isWanted = true;
    const watcher = new ResizeObserver(() => { if (box.current) plot.current?.setSize({ width: box.current.clientWidth, height: HEIGHT }); });
    void import('uplot').then(({ default: UPlot }) => {
      if (!isWanted || !box.current)
        return;
      const options = optionsOf(def, box.current.clientWidth);
      plot.current = new UPlot({ ...options, hooks: { setCursor: [(u) => setAt(u.cursor.idx ?? null)] } }, dataOf(def, latest.current), box.current);
      watcher.observe(box.current);
    });
    return () => { isWanted = false; watcher.disconnect(); plot.current?.destroy(); plot.current = null; };
  }, [def.title, theme.value, language.value]);
  useEffect(() => { plot.current?.setData(dataOf(def, points)); }, [points]);
  const last = points.findLast((p) => def.lines.some((l) => p[l.field] !== undefined));
  const point = at === null ? last : points[at];
  return (
    <Panel title={def.title}>
      <p class="chart-now">{def.lines.map((line, i) => {
        const value = point?.[line.field];
        return <span key={line.field} class={`chart-key line-${i + 1}`}>{line.label} <strong class="num">{value === undefined ? '–' : shown(value, def.unit)}</strong></span>;
      })}</p>
      <div ref={box} class="chart" role="img" aria-label={`${def.title}: ${def.lines.map((l) => `${l.label} ${last?.[l.field] === undefined ? '–' : shown(last[l.field] ?? 0, def.unit)}`).join(', ')}`} />
    </Panel>
  );
}

/** path: the object's, without /rrddata. */
export function Charts({ path, charts }: { path: string; charts: readonly ChartDef[] }) {
  const [timeframe, setTimeframe] = useState('hour');
  const { value, error, reload } = useLoad(`${path} ${timeframe}`, '', () => get<Point[]>(`${path}/rrddata`, { timeframe, cf: 'AVERAGE' }));
  useEffect(() => {
    const timer = setInterval(() => { if (!document.hidden) reload(); }, RELOAD_MS);
    return () => clearInterval(timer);
  }, [reload]);
  if (error && !value)
    return <ErrorBox error={error} onRetry={reload} />;
  return (
    <section class="charts" aria-label={t('chart.title')}>
      <div class="row charts-head"><h2 class="grow">{t('chart.title')}</h2>
        <Select label={t('chart.timeframe')} value={timeframe} options={TIMEFRAMES.map(([id, key]) => [id, t(key)] as const)} onChange={setTimeframe} /></div>
      <div class="board">{charts.map((def) => <Chart key={def.title} def={def} points={value ?? []} />)}</div>
    </section>
  );
}
