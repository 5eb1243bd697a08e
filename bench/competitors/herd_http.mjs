// The interface of a herd over HTTP in plain Node.js, as a good student would write it: GET and PUT /v1/clients/ID.
//
//     node herd_http.mjs NAME HERD_FILE
//
// Like the herd it checks what it is sent, keeps the newest statement of each client, and repeats the digits of numbers:
// JSON.parse checks the body, and the digits are cut out of its text, because JSON.parse gives no source text.

import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';

const [name, file] = process.argv.slice(2);
const { listen } = JSON.parse(readFileSync(file, 'utf8')).servers[name];
const known = new Map(); // client -> { latitude, longitude, time, seconds, nanoseconds, skew, line }

const CLIENTS = '/v1/clients/';
const TIME = /^(\d{1,18})(?:\.(\d{1,9}))?$/;
const BODY_MAX = 1024 * 1024;
const DIGITS = {
  latitude: /"latitude"\s*:\s*(-?\d+(?:\.\d+)?)\s*[,}]/,
  longitude: /"longitude"\s*:\s*(-?\d+(?:\.\d+)?)\s*[,}]/,
};

class Refusal extends Error {
  constructor(status, message, fields = {}) {
    super(message);
    this.status = status;
    this.fields = fields;
  }
}

function reply(response, status, body, fields = {}) {
  response.writeHead(status, {
    'X-Content-Type-Options': 'nosniff',
    'Referrer-Policy': 'no-referrer',
    'Content-Type': 'application/json',
    'Cache-Control': 'no-store',
    'Content-Length': Buffer.byteLength(body),
    ...fields,
  });
  response.end(body);
}

function refuse(response, error) {
  const { status = 500, fields, message } = error;
  reply(response, status, JSON.stringify({ error: message }), fields);
}

function clientOf(url) {
  const end = url.indexOf('?');
  const path = end < 0 ? url : url.slice(0, end);
  if (!path.startsWith(CLIENTS) || path.length === CLIENTS.length || path.includes('/', CLIENTS.length)) {
    throw new Refusal(404, 'there is nothing at this path');
  }
  let id;
  try {
    id = decodeURIComponent(path.slice(CLIENTS.length));
  } catch {
    throw new Refusal(400, 'the ID is not percent-encoded');
  }
  if (/\s/.test(id)) throw new Refusal(400, 'the ID has white space');
  return id;
}

function degrees(text, body, field, most) {
  const value = body[field];
  if (typeof value !== 'number' || Math.abs(value) > most) {
    throw new Refusal(400, `${field}: expected a number from -${most} to ${most}, got ${JSON.stringify(value)}`);
  }
  const match = DIGITS[field].exec(text);
  // A number with an exponent is written out.
  return match ? match[1] : value.toFixed(20).replace(/\.?0+$/, '');
}

// Without the closing brace.
function jsonOf(id, { latitude, longitude, time, skew, line }) {
  return `{"id":${JSON.stringify(id)},"latitude":${latitude},"longitude":${longitude},"time":"${time}",` +
    `"server":"${name}","skew":"${skew}","line":${JSON.stringify(line)}`;
}

function put(id, text) {
  let body;
  try {
    body = JSON.parse(text);
  } catch {
    throw new Refusal(400, 'the body is no JSON');
  }
  const latitude = degrees(text, body, 'latitude', 90);
  const longitude = degrees(text, body, 'longitude', 180);
  const now = performance.timeOrigin + performance.now();
  const time = String(body.time ?? (now / 1000).toFixed(6));
  const match = TIME.exec(time);
  if (!match) throw new Refusal(400, `time: expected seconds since 1970, got ${JSON.stringify(body.time)}`);
  const seconds = Number(match[1]);
  const nanoseconds = Number((match[2] || '').padEnd(9, '0'));
  const nowSeconds = Math.floor(now / 1000);
  // Exact while the clocks differ by less than a hundred days.
  const skew = (nowSeconds - seconds) * 1e9 + (Math.floor((now - nowSeconds * 1000) * 1e6) - nanoseconds);
  const size = Math.abs(skew);
  const signed = `${skew < 0 ? '-' : '+'}${Math.floor(size / 1e9)}.${String(size % 1e9).padStart(9, '0')}`;
  const sign = (digits) => (digits.startsWith('-') ? digits : `+${digits}`);
  const line = `AT ${name} ${signed} ${id} ${sign(latitude)}${sign(longitude)} ${time}`;
  const record = { latitude, longitude, time, seconds, nanoseconds, skew: signed, line };
  const before = known.get(id);
  const stored = !before || before.seconds < seconds ||
    (before.seconds === seconds && before.nanoseconds < nanoseconds);
  if (stored) known.set(id, record);
  return `${jsonOf(id, record)},"stored":${stored}}\n`;
}

const server = createServer({ noDelay: true, keepAliveTimeout: 60_000 }, (request, response) => {
  try {
    const id = clientOf(request.url);
    if (request.method === 'GET' || request.method === 'HEAD') {
      const record = known.get(id);
      if (!record) throw new Refusal(404, 'this client is unknown');
      reply(response, 200, `${jsonOf(id, record)}}\n`);
    } else if (request.method === 'PUT') {
      let text = '';
      request.setEncoding('utf8');
      request.on('data', (part) => {
        text += part;
        if (text.length > BODY_MAX) {
          refuse(response, new Refusal(413, 'the body is too long', { Connection: 'close' }));
          request.destroy();
        }
      });
      request.on('end', () => {
        try {
          reply(response, 200, put(id, text));
        } catch (error) {
          refuse(response, error);
        }
      });
    } else {
      throw new Refusal(405, 'the method is not allowed', { Allow: 'GET, HEAD, PUT' });
    }
  } catch (error) {
    refuse(response, error);
  }
});

server.listen({ port: Number(listen.slice(listen.lastIndexOf(':') + 1)), host: '127.0.0.1', backlog: 1024 });
