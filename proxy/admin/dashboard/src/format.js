// How numbers, sizes and times are written.

const whole = new Intl.NumberFormat('en', { maximumFractionDigits: 0 });
const tenths = new Intl.NumberFormat('en', { minimumFractionDigits: 1, maximumFractionDigits: 1 });
const short = new Intl.NumberFormat('en', { notation: 'compact', maximumSignificantDigits: 3 });
const time = new Intl.DateTimeFormat('en-GB', { hour: '2-digit', minute: '2-digit', second: '2-digit' });
const minute = new Intl.DateTimeFormat('en-GB', { hour: '2-digit', minute: '2-digit' });
const full = new Intl.DateTimeFormat('en-GB', { dateStyle: 'medium', timeStyle: 'medium' });

export const count = (n) => whole.format(n);
export const compact = (n) => (Math.abs(n) < 1000 && !Number.isInteger(n) ? String(+n.toPrecision(2)) : short.format(n));
export const rate = (n) => (n === 0 ? '0' : n < 99.95 ? tenths.format(n) : whole.format(n));
export const percent = (n) => (n < 0.0995 ? tenths : whole).format(n * 100) + ' %';

export function bytes(n) {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];
  let unit = 0;
  for (; n >= 999.5 && unit < units.length - 1; unit++) n /= 1024;
  return (unit === 0 || n >= 99.95 ? whole : tenths).format(n) + ' ' + units[unit];
}

// duration has the two units that matter.
export function duration(seconds) {
  if (seconds < 9.95) return tenths.format(seconds) + 's';
  const s = Math.round(seconds);
  if (s < 60) return `${s}s`;
  if (s < 3600) return `${Math.floor(s / 60)}m ${pad(s % 60)}s`;
  if (s < 86400) return `${Math.floor(s / 3600)}h ${pad(Math.floor((s % 3600) / 60))}m`;
  return `${Math.floor(s / 86400)}d ${pad(Math.floor((s % 86400) / 3600))}h`;
}

// roundTrip is that of a ping, or another short time.
export function roundTrip(seconds) {
  const ms = seconds * 1000;
  if (ms > 0 && ms < 0.995) return whole.format(ms * 1000) + ' µs';
  if (ms < 99.95) return tenths.format(ms) + ' ms';
  return ms < 9999.5 ? whole.format(ms) + ' ms' : duration(seconds);
}

const pad = (n) => String(n).padStart(2, '0');

export const clock = (moment) => time.format(new Date(moment));
export const clockMinute = (moment) => minute.format(new Date(moment));
export const date = (moment) => full.format(new Date(moment));

// words turns a name of the API into words: would_have into would have.
export const words = (name) => name.replaceAll('_', ' ');
