const { nextCacheHandler, redis } = await import(
  /* turbopackIgnore: true */ process.env.TIDEMARK_HANDLER
)

export default nextCacheHandler({ namespace: 'app', store: redis(process.env.REDIS_URL) })
