// Tunnels each TCP connection to the address that the label in its first request's Host names.
//
//   node --openssl-legacy-provider relay.mjs --listen 127.0.0.1:8080 --key-file FILE [--workers N]
//
// The label is hex of Blowfish-ECB of host:port, and Blowfish is in OpenSSL's legacy provider.

import cluster from 'node:cluster';
import { createDecipheriv } from 'node:crypto';
import { readFileSync } from 'node:fs';
import net from 'node:net';
import { parseArgs } from 'node:util';

const MAX_HEAD_BYTES = 64 * 1024;
const HEAD_TIMEOUT_MS = 10_000;
const CONNECT_TIMEOUT_MS = 10_000;
const IDLE_TIMEOUT_MS = 5 * 60_000;
const HEAD_END = Buffer.from('\r\n\r\n');

const { values: options } = parseArgs({
  options: {
    listen: { type: 'string', default: '127.0.0.1:8080' },
    'key-file': { type: 'string' },
    workers: { type: 'string', default: '1' },
  },
});
const key = Buffer.from(readFileSync(options['key-file'], 'latin1').trim(), 'latin1');

/** The { host, port } that a Host field names in its first label, or null. */
function findAddress(hostField) {
  const label = hostField.split('.', 1)[0];
  if (!/^(?:[0-9a-f]{16})+$/i.test(label)) return null;
  const decipher = createDecipheriv('bf-ecb', key, null).setAutoPadding(false);
  const text = withoutPadding(Buffer.concat([decipher.update(label, 'hex'), decipher.final()])).toString('latin1');
  const match = /^(?:\[([0-9a-f:.]+)\]|([\w.-]+)):(\d{1,5})$/i.exec(text);
  if (!match || Number(match[3]) < 1 || Number(match[3]) > 65535) return null;
  const host = match[1] ?? match[2];
  // 0.0.0.0 is what an app listens on, written into its label as it is.
  return { host: host === '0.0.0.0' ? '127.0.0.1' : host, port: Number(match[3]) };
}

/** Without PKCS #5 padding, or zeros. */
function withoutPadding(text) {
  const last = text.at(-1);
  if (last >= 1 && last <= 8 && text.subarray(-last).every((byte) => byte === last)) return text.subarray(0, -last);
  const end = text.findLastIndex((byte) => byte !== 0);
  return text.subarray(0, end + 1);
}

function findHost(head) {
  return /\r\nhost:[ \t]*([^\r\n]*?)[ \t]*(?:\r\n|$)/i.exec(head)?.[1] ?? null;
}

function log(text) {
  console.error(`${new Date().toISOString().slice(11, 19)} ${text}`);
}

/** Answers, and ends the connection once the client has the answer. */
function refuse(client, status, why) {
  log(`${status}: ${why}`);
  const body = `${status}\n`;
  client.end(
    `HTTP/1.1 ${status}\r\nContent-Type: text/plain\r\nContent-Length: ${body.length}\r\nConnection: close\r\n\r\n${body}`,
  );
  client.setTimeout(1000, () => client.destroy());
  client.resume(); // what it still sends is read and dropped, so that its end is seen
}

/** Waits for the first request's head, then goes on with everything that was read. */
function onClient(client) {
  let read = Buffer.alloc(0);
  client.setTimeout(HEAD_TIMEOUT_MS, () => client.destroy());
  client.on('error', (error) => log(`client: ${error.message}`));
  client.on('end', () => client.destroy());
  client.on('data', (data) => {
    read = read.length ? Buffer.concat([read, data]) : data;
    const end = read.indexOf(HEAD_END, Math.max(0, read.length - data.length - 3));
    if (end < 0 && read.length < MAX_HEAD_BYTES) return;
    client.pause();
    client.removeAllListeners('data').removeAllListeners('end');
    if (end < 0) return refuse(client, '400 Bad Request', 'head too large');
    const host = findHost(read.toString('latin1', 0, end));
    if (host === null) return refuse(client, '400 Bad Request', 'no Host');
    const address = findAddress(host);
    if (address === null) return refuse(client, '404 Not Found', 'no such label');
    connect(client, address, read);
  });
}

function connect(client, address, read) {
  const app = net.connect({ ...address, allowHalfOpen: true, noDelay: true });
  const onError = (error) => refuse(client, '502 Bad Gateway', error.message);
  client.setTimeout(0);
  app.setTimeout(CONNECT_TIMEOUT_MS, () => app.destroy(new Error(`connect to port ${address.port}: too slow`)));
  app.on('error', onError);
  client.on('close', (failed) => failed && app.destroy());
  app.on('connect', () => {
    app.off('error', onError);
    tunnel(client, app);
    app.write(read);
  });
}

/**
 * Copies both ways until both have ended. An end one way is passed on, and the other way goes on.
 *
 * Writing in 'data' listeners, larger buffers and reading into one buffer ('onread') were tried beside pipe():
 * no difference that is larger than from one run to the next.
 */
function tunnel(client, app) {
  // An error ends both: there is nobody left to talk to.
  app.on('error', (error) => log(`app: ${error.message}`));
  app.on('close', (failed) => failed && client.destroy());
  for (const socket of [client, app]) {
    socket.removeAllListeners('timeout');
    socket.setTimeout(IDLE_TIMEOUT_MS, () => {
      log('tunnel: idle for too long');
      client.destroy();
      app.destroy();
    });
  }
  client.pipe(app);
  app.pipe(client);
}

function serve() {
  const port = Number(options.listen.split(':').at(-1));
  const host = options.listen.slice(0, options.listen.lastIndexOf(':'));
  const server = net.createServer({ allowHalfOpen: true, noDelay: true }, onClient);
  server.on('error', (error) => {
    log(error.message);
    process.exit(1);
  });
  server.listen({ host, port, backlog: 65535 });
}

const workers = Number(options.workers);
if (workers > 1 && cluster.isPrimary) {
  for (let number = 0; number < workers; number++) cluster.fork();
  cluster.on('exit', (worker, code, signal) => {
    log(`a worker ended: ${signal ?? code}`);
    process.exit(1);
  });
} else {
  serve();
}
