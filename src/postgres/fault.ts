import type { Fault } from '../model/errors.ts'
import { TidemarkError } from '../model/errors.ts'
import { connectionLost, loginRefused, sqlstateOf } from './sqlstate.ts'

/** A server as messages may name it: never with the password. */
export interface Place {
  readonly host: string
  readonly port: string
  readonly user: string
  readonly database: string
}

/**
 * Reads from a URL what messages may say.
 * Throws `TIDEMARK_CONFIG_INVALID` without the text of the URL, for it may hold a password.
 */
export function placeOf(url: string): Place {
  const parsed = URL.canParse(url) ? new URL(url) : undefined
  if (parsed === undefined || !/^(postgres|postgresql|socket):$/.test(parsed.protocol)) {
    throw new TidemarkError({
      code: 'TIDEMARK_CONFIG_INVALID',
      what: 'The database URL is not of the form postgres://user:password@host:port/database',
      mend: 'Write it in that form; signs such as # / @ in a password are written as %23 %2F %40.',
    })
  }
  const query = parsed.searchParams
  return {
    host: query.get('host') ?? (parsed.hostname === '' ? 'localhost' : parsed.hostname),
    port: query.get('port') ?? (parsed.port === '' ? '5432' : parsed.port),
    user: query.get('user') ?? decodeURIComponent(parsed.username),
    database: decodeURIComponent(parsed.pathname.slice(1)),
  }
}

/**
 * Makes a {@link TidemarkError} of what the caller can mend; everything else comes back as it was.
 * The cause is kept: {@link sqlstateOf} sees through it.
 */
export function faultOf(error: unknown, place: Place): unknown {
  if (error instanceof TidemarkError || !(error instanceof Error)) return error
  const fault = networkFault(error, place) ?? loginFault(error, place) ?? statementFault(error)
  return fault === undefined ? error : new TidemarkError({ ...fault, cause: error })
}

/** Mends of a server that does not answer, by the code of Node or a SQLSTATE. */
const networkMends: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'Nothing listens there: start the server, or correct host and port in the URL.',
  ENOTFOUND: 'The host name is not known: correct it in the URL.',
  EAI_AGAIN: 'The host name could not be looked up: look at the network and its name server.',
  EHOSTUNREACH: 'No route leads there: look at the network, VPN or firewall.',
  ENETUNREACH: 'No route leads there: look at the network, VPN or firewall.',
  ETIMEDOUT: 'It did not answer in time: look at the network, VPN or firewall.',
  ECONNRESET: 'The connection broke off: look at the log of the server, or of a proxy between.',
  EPIPE: 'The connection broke off: look at the log of the server, or of a proxy between.',
  ENOENT: 'There is no socket in that folder: start the server, or correct the host in the URL.',
}

function networkFault(error: Error, place: Place): Fault | undefined {
  const code = codeOf(error)
  const mend =
    networkMends[code] ??
    (connectionLost.includes(code)
      ? 'It starts, stops or has just restarted: try again soon.'
      : undefined) ??
    // pg words these without a code.
    (/timeout expired|connection timeout|timeout exceeded when trying|read timeout/i.test(
      error.message,
    )
      ? networkMends['ETIMEDOUT']
      : undefined) ??
    (/is not currently accepting connections/.test(error.message)
      ? 'The database lets nobody in at present: look at allow_connections of it.'
      : undefined) ??
    (/^Connection terminated|^Client has encountered a connection error/.test(error.message)
      ? networkMends['ECONNRESET']
      : undefined)
  if (mend === undefined) return undefined
  return {
    code: 'TIDEMARK_DATABASE_UNREACHABLE',
    what: `The database server at ${place.host}:${place.port} does not answer`,
    mend,
  }
}

function loginFault(error: Error, place: Place): Fault | undefined {
  const code = codeOf(error)
  const refused = (what: string, mend: string): Fault => ({
    code: 'TIDEMARK_DATABASE_REFUSED',
    what: `${what} (${place.host}:${place.port})`,
    mend,
  })
  if (code === '3D000') {
    return refused(
      `There is no database ${place.database}`,
      'Create it, or correct the name at the end of the URL.',
    )
  }
  if (code === '28P01' || /client password must be a/.test(error.message)) {
    return refused(
      `The server does not accept the password of user ${place.user}`,
      'Correct user and password in the URL; %-escape special signs.',
    )
  }
  if (loginRefused.includes(code)) {
    return refused(
      `The server does not let user ${place.user} into ${place.database}: ${error.message}`,
      'Create the role with LOGIN, or admit it in pg_hba.conf.',
    )
  }
  if (code === '53300') {
    return refused(
      'The server has no connection left',
      'Raise max_connections, close other programs, or connect through a pooler.',
    )
  }
  if (/does not support SSL/.test(error.message)) {
    return refused('The server does not offer TLS', 'Write sslmode=disable in the URL.')
  }
  if (/CERT|ALTNAME/.test(code)) {
    return refused(
      `The certificate of the server is not trusted: ${error.message}`,
      'Name its authority by sslrootcert=FILE in the URL, or write sslmode=no-verify.',
    )
  }
  return undefined
}

function statementFault(error: Error): Fault | undefined {
  switch (codeOf(error)) {
    case '42501':
      return {
        code: 'TIDEMARK_PRIVILEGE_MISSING',
        what: `The role lacks a privilege: ${error.message}`,
        mend: "Grant it, or run this step as a role that has it; 'tidemark doctor' lists what is needed.",
      }
    case '55P03':
      return {
        code: 'TIDEMARK_LOCK_TIMEOUT',
        what: `A lock was not granted in time: ${error.message}`,
        mend: 'Try again, or end the long transaction that holds it (pg_blocking_pids names it).',
      }
    case '25006':
      return {
        code: 'TIDEMARK_STANDBY',
        what: `The server takes no writes: ${error.message}`,
        mend: 'Name the primary in the URL, or set default_transaction_read_only = off.',
      }
    case '3F000':
    case '42P01':
      return /"tidemark(\.[a-z_]+)?"/.test(error.message) ? notInstalled : undefined
    default:
      return undefined
  }
}

const notInstalled: Fault = {
  code: 'TIDEMARK_NOT_INSTALLED',
  what: 'Tidemark is not installed in this database, or an older version is',
  mend: "Run 'tidemark apply' first.",
}

function codeOf(error: Error): string {
  const code: unknown = Reflect.get(error, 'code')
  if (typeof code === 'string') return code
  // Node bundles the attempts on each address of a host into one error.
  const first: unknown = error instanceof AggregateError ? error.errors[0] : undefined
  return sqlstateOf(error) ?? (first instanceof Error ? codeOf(first) : '')
}
