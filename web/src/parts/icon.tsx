// The page's icons: simple strokes on a 16 by 16 field, drawn for it. The sprite is in the page once.
const STROKES = {
  play: 'M5 3.2v9.6L12.5 8z',
  stop: 'M4 4h8v8H4z',
  pause: 'M5.5 3.5v9M10.5 3.5v9',
  power: 'M8 2.2v5.3M4.6 4.4a5 5 0 1 0 6.8 0',
  reload: 'M13 3.2v3.3H9.7M12.6 6.4A5 5 0 1 0 13 8.6',
  bolt: 'M9 1.8 3.8 9H8l-1 5.2L12.2 7H8z',
  search: 'M7 11.5a4.5 4.5 0 1 0 0-9 4.5 4.5 0 0 0 0 9zM10.4 10.4 14 14',
  home: 'M2.5 7.5 8 2.7l5.5 4.8M4 6.4V13h8V6.4',
  guests: 'M2 3.2h12v7.6H2zM5.5 13.5h5M8 10.8v2.7',
  tasks: 'M6 4h8M6 8h8M6 12h8M2.3 4h.6M2.3 8h.6M2.3 12h.6',
  camera: 'M2 5h3l1.2-1.8h3.6L11 5h3v7.8H2zM8 11a2.3 2.3 0 1 0 0-4.6A2.3 2.3 0 0 0 8 11z',
  trash: 'M2.8 4.4h10.4M6 4.2V2.6h4v1.6M4 4.6l.7 8.9h6.6l.7-8.9M6.8 7v4M9.2 7v4',
  back: 'M6.5 3.2 2.7 7l3.8 3.8M3 7h6.5a3.7 3.7 0 0 1 0 7.2H7',
  columns: 'M2.2 3h11.6v10H2.2zM6 3v10M10 3v10',
  more: 'M3.2 8h.1M8 8h.1M12.8 8h.1',
  down: 'm4 6.2 4 4 4-4',
  up: 'm4 9.8 4-4 4 4',
  right: 'm6.2 4 4 4-4 4',
  close: 'm3.8 3.8 8.4 8.4M12.2 3.8l-8.4 8.4',
  check: 'm3 8.4 3.3 3.4L13 4.6',
  warn: 'M8 2.2 14.4 13H1.6zM8 6.4v3.2M8 11.3v.1',
  user: 'M8 7.8a2.6 2.6 0 1 0 0-5.2 2.6 2.6 0 0 0 0 5.2zM3 13.6c.5-2.7 2.4-4.2 5-4.2s4.5 1.5 5 4.2',
  node: 'M2.2 3h11.6v4H2.2zM2.2 9h11.6v4H2.2zM4.5 5h.1M4.5 11h.1',
  disk: 'M2.5 4.2c0-2.4 11-2.4 11 0v7.6c0 2.4-11 2.4-11 0zM2.5 4.4c0 2.3 11 2.3 11 0',
  edit: 'm3 13 .7-3L11 2.8 13.2 5 6 12.3z',
  plus: 'M8 3v10M3 8h10',
  key: 'M10.2 2.5a3.3 3.3 0 1 0 0 6.6 3.3 3.3 0 0 0 0-6.6zM7.8 8.2 2.5 13.5v0H5v-1.8h1.8V10M10.9 5h.1',
  log: 'M3.5 2h6l3 3v9h-9zM9.3 2.2v3.1h3M5.5 8.2h5M5.5 11h5',
  gear: 'M8 10.2a2.2 2.2 0 1 0 0-4.4 2.2 2.2 0 0 0 0 4.4zM8 1.8v2M8 12.2v2M1.8 8h2M12.2 8h2M3.6 3.6 5 5M11 11l1.4 1.4M12.4 3.6 11 5M5 11l-1.4 1.4',
  screen: 'M2 3h12v8H2zM5.5 13.5h5M5 6l1.7 1.5L5 9M8.5 9H11',
  net: 'M6 2.5h4v3.5H6zM2 10h4v3.5H2zM10 10h4v3.5h-4zM8 6v2M4 10V8h8v2',
  copy: 'M5.5 5.5h8v8h-8zM3.5 10.5h-1v-8h8v1',
  upload: 'M8 10.5V2.7M4.8 5.6 8 2.5l3.2 3.1M2.5 10v3.3h11V10',
  download: 'M8 2.5v7.8M4.8 7.4 8 10.5l3.2-3.1M2.5 10v3.3h11V10',
  out: 'M9.5 2.5h4v4M13.3 2.7 7.5 8.5M11.5 9v4.3h-9v-9H7',
  shield: 'M8 1.8 13 3.6v4c0 3.2-2 5.4-5 6.6-3-1.2-5-3.4-5-6.6v-4z',
  star: 'm8 2 1.8 3.8 4.2.5-3.1 2.9.8 4.1L8 11.3l-3.7 2 .8-4.1L2 6.3l4.2-.5z',
  square: 'M4 4h8v8H4z',
  disc: 'M8 14A6 6 0 1 0 8 2a6 6 0 0 0 0 12zM8 9.6a1.6 1.6 0 1 0 0-3.2 1.6 1.6 0 0 0 0 3.2z',
  cloud: 'M4.8 12.5a2.8 2.8 0 0 1-.4-5.6 3.8 3.8 0 0 1 7.3-.6 3.1 3.1 0 0 1-.2 6.2z',
  eye: 'M1.8 8C3.3 5.3 5.4 4 8 4s4.7 1.3 6.2 4c-1.5 2.7-3.6 4-6.2 4S3.3 10.7 1.8 8zM8 9.8a1.8 1.8 0 1 0 0-3.6 1.8 1.8 0 0 0 0 3.6z',
  group: 'M5.8 8a2.3 2.3 0 1 0 0-4.6A2.3 2.3 0 0 0 5.8 8zM1.5 13.2c.4-2.4 2-3.7 4.3-3.7s3.9 1.3 4.3 3.7M10.6 3.6a2.3 2.3 0 0 1 0 4.3M12 9.8c1.4.5 2.2 1.7 2.5 3.4',
  memory: 'M2 4.5h12v7H2zM5 4.5v3M8 4.5v3M11 4.5v3M4 11.5v1.7M8 11.5v1.7M12 11.5v1.7',
  chip: 'M4.5 4.5h7v7h-7zM6.5 2v2.5M9.5 2v2.5M6.5 11.5V14M9.5 11.5V14M2 6.5h2.5M2 9.5h2.5M11.5 6.5H14M11.5 9.5H14',
  plug: 'M6 2v4M10 2v4M4 6h8v2.5a4 4 0 0 1-8 0zM8 12.5V14.5',
  grip: 'M6 4h.1M10 4h.1M6 8h.1M10 8h.1M6 12h.1M10 12h.1',
  paste: 'M5.5 3.5h-2v10h9v-10h-2M5.5 2.3h5v2.6h-5zM5.8 8h4.4M5.8 10.7h4.4',
  keyboard: 'M1.8 4h12.4v8H1.8zM4.4 6.6h.1M6.8 6.6h.1M9.2 6.6h.1M11.6 6.6h.1M5 9.5h6',
  full: 'M2.5 6V2.5H6M10 2.5h3.5V6M13.5 10v3.5H10M6 13.5H2.5V10',
  fit: 'M2 3h12v10H2zM5 8.8V6h2.8M11 7.2V10H8.2',
  help: 'M8 14A6 6 0 1 0 8 2a6 6 0 0 0 0 12zM6.2 6.4a1.8 1.8 0 1 1 2.6 1.6c-.5.3-.8.6-.8 1.2M8 11.2v.1',
  filter: 'M2 3.2h12L9.4 8.6v4.6l-2.8-1.6v-3z',
} as const;

export type IconName = keyof typeof STROKES;

export function Sprite() {
  return (
    <svg class="sprite" aria-hidden="true" width="0" height="0">
      {Object.entries(STROKES).map(([name, d]) => (
        <symbol key={name} id={`i-${name}`} viewBox="0 0 16 16">
          <path d={d} fill="none" stroke="currentColor" stroke-width="1.5" stroke-linecap="round" stroke-linejoin="round" />
        </symbol>
      ))}
    </svg>
  );
}

export function Icon({ name }: { name: IconName }) {
  return <svg class="icon" aria-hidden="true" width="16" height="16"><use href={`#i-${name}`} /></svg>;
}
