// A server of a herd in plain Node.js, as a good student would write it from the course's text.
//
//     node herd_node.js NAME HERD_FILE
//
// It is complete: IAMAT, WHATSAT, AT, invalid commands, flooding over persistent connections that are
// dialled again when they break, and a log.
'use strict';

const fs = require('fs');
const http = require('http');
const net = require('net');
const path = require('path');

const [name, file] = process.argv.slice(2);
const herd = JSON.parse(fs.readFileSync(file, 'utf8'));
const portOf = (server) => Number(server.listen.slice(server.listen.lastIndexOf(':') + 1));
const neighbours = Object.entries(herd.servers)
  .filter(([other, server]) => server.talks_to.includes(name) || herd.servers[name].talks_to.includes(other));
const links = new Map(); // neighbour -> socket
const known = new Map(); // client -> { seconds, nanoseconds, line }

const folder = path.join(path.dirname(file), herd.log.dir);
fs.mkdirSync(folder, { recursive: true });
const logFile = fs.createWriteStream(path.join(folder, `${name}.log`), { flags: 'a' });
let logged = '';
const log = (text) => {
  logged += `${(Date.now() / 1000).toFixed(3)} ${name} ${text}\n`;
};
setInterval(() => {
  if (logged) logFile.write(logged);
  logged = '';
}, 20);

const LOCATION = /^([+-]\d{1,2}(?:\.\d+)?)([+-]\d{1,3}(?:\.\d+)?)$/;
const TIME = /^(\d{1,18})(?:\.(\d{1,9}))?$/;
const NUMBER = /^\d+(?:\.\d+)?$/;

function moment(text) {
  const match = TIME.exec(text);
  return match && { seconds: Number(match[1]), nanoseconds: Number((match[2] || '').padEnd(9, '0')) };
}

function store(client, time, line, origin) {
  const before = known.get(client);
  if (before && (before.seconds > time.seconds ||
      (before.seconds === time.seconds && before.nanoseconds >= time.nanoseconds))) {
    return;
  }
  known.set(client, { ...time, line });
  for (const [neighbour, socket] of links) {
    if (neighbour !== origin) {
      socket.write(line);
      log(`sent to server ${neighbour} '${line.trimEnd()}'`);
    }
  }
}

function iamat(client, location, sent) {
  const place = LOCATION.exec(location);
  const time = moment(sent);
  if (!place || !time || Math.abs(place[1]) > 90 || Math.abs(place[2]) > 180) return null;
  const now = performance.timeOrigin + performance.now();
  const seconds = Math.floor(now / 1000);
  // Exact while the clocks differ by less than a hundred days.
  const skew = (seconds - time.seconds) * 1e9 + (Math.floor((now - seconds * 1000) * 1e6) - time.nanoseconds);
  const size = Math.abs(skew);
  const digits = `${Math.floor(size / 1e9)}.${String(size % 1e9).padStart(9, '0')}`;
  const line = `AT ${name} ${skew < 0 ? '-' : '+'}${digits} ${client} ${location} ${sent}\n`;
  store(client, time, line, null);
  return line;
}

const agent = new http.Agent({ keepAlive: true, maxSockets: 64 });

function whatsat(client, radius, bound) {
  const record = known.get(client);
  if (!record || !NUMBER.test(radius) || !/^\d+$/.test(bound) || radius > 50 || bound > 20) return null;
  const [, latitude, longitude] = LOCATION.exec(record.line.split(' ')[4]);
  const query = `location=${latitude.replace('+', '')},${longitude.replace('+', '')}&radius=${radius * 1000}&key=none`;
  return new Promise((resolve) => {
    const finish = (answer) => {
      const text = JSON.stringify(answer, null, 3).replace(/\n\n+/g, '\n').trim();
      log(`sent to client '${record.line.trimEnd()}' and ${text.length} characters of JSON`);
      resolve(`${record.line}${text}\n\n`);
    };
    const fail = () => finish({ html_attributions: [], results: [], status: 'UNKNOWN_ERROR' });
    http.get(`${herd.places.url}/maps/api/place/nearbysearch/json?${query}`, { agent }, (response) => {
      const parts = [];
      response.on('data', (part) => parts.push(part));
      response.on('end', () => {
        try {
          const answer = JSON.parse(Buffer.concat(parts).toString());
          answer.results = answer.results.slice(0, Number(bound));
          finish(answer);
        } catch {
          fail();
        }
      });
    }).on('error', fail);
  });
}

// Handles a line. Returns the reply: a text, which may be empty, or a promise of a text.
function answer(line, origin) {
  const fields = line.split(/[ \t\r\f\v]+/).filter(Boolean);
  if (fields.length === 0) return '';
  log(`received '${line.trim()}'`);
  let reply = null;
  if (fields[0] === 'IAMAT' && fields.length === 4) {
    reply = iamat(fields[1], fields[2], fields[3]);
  } else if (fields[0] === 'WHATSAT' && fields.length === 4) {
    reply = whatsat(fields[1], fields[2], fields[3]);
  } else if (fields[0] === 'AT' && fields.length === 6 && origin) {
    const time = moment(fields[5]);
    if (time) store(fields[3], time, `${line}\n`, origin);
    return '';
  }
  if (reply === null) reply = `? ${line.trim()}\n`;
  if (typeof reply === 'string') log(`sent to client '${reply.trimEnd()}'`);
  return reply;
}

const server = net.createServer({ noDelay: true, allowHalfOpen: true }, (socket) => {
  let rest = '';
  let origin = null;
  let waiting = null; // promise of all earlier replies, if one of them waits for Places
  socket.setEncoding('utf8');
  const take = (line) => {
    if (line.startsWith('PEER ')) {
      origin = line.split(' ')[1];
      log(`New connection from server ${origin} was made`);
      return '';
    }
    const reply = answer(line, origin);
    if (waiting === null && typeof reply === 'string') return reply;
    const turn = Promise.all([waiting, reply]).then(([, text]) => {
      socket.write(text);
      if (waiting === turn) waiting = null;
    });
    waiting = turn;
    return '';
  };
  socket.on('data', (text) => {
    const lines = (rest + text).split('\n');
    rest = lines.pop();
    let replies = '';
    for (const line of lines) {
      const idle = waiting === null;
      replies += take(line);
      if (idle && waiting !== null && replies) {
        socket.write(replies);
        replies = '';
      }
    }
    if (replies) socket.write(replies);
  });
  socket.on('end', () => {
    if (rest) socket.write(take(rest));
    if (waiting) waiting.then(() => socket.end());
    else socket.end();
  });
  socket.on('error', () => socket.destroy());
});

function keepLink(neighbour, port) {
  const socket = net.connect({ port, host: '127.0.0.1', noDelay: true }, () => {
    socket.write(`PEER ${name}\n`);
    links.set(neighbour, socket);
    log(`New connection to server ${neighbour} was made`);
  });
  socket.on('error', () => {});
  socket.on('data', () => {});
  socket.on('close', () => {
    if (links.delete(neighbour)) log(`Connection to server ${neighbour} was dropped`);
    setTimeout(keepLink, 100, neighbour, port);
  });
}

server.listen({ port: portOf(herd.servers[name]), host: '127.0.0.1', backlog: 1024 });
for (const [neighbour, other] of neighbours) keepLink(neighbour, portOf(other));
