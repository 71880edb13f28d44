const { nextIsrHandler, redis } = await import(
  /* turbopackIgnore: true */ process.env.TIDEMARK_HANDLER
)

export default nextIsrHandler({ namespace: 'app', store: redis(process.env.REDIS_URL) })
