// A real OpenID provider (npm: oidc-provider) on this machine. Everybody who comes is grace, and she allows everything.
// usage: node openid_provider.mjs '{"port": .., "resources": ["http://..."], "scope": "data:read .."}'
// Its keys are made at the start, so a restart is a rotation. It prints "ready" when it answers.
import { generateKeyPairSync, randomUUID } from 'node:crypto'
import Provider from 'oidc-provider'

const { port, resources, scope } = JSON.parse(process.argv[2])
const issuer = `http://127.0.0.1:${port}`
const key = (type, options, alg) => ({
  ...generateKeyPairSync(type, options).privateKey.export({ format: 'jwk' }), alg, kid: randomUUID(), use: 'sig',
})

const provider = new Provider(issuer, {
  clients: [{
    client_id: 'kit', token_endpoint_auth_method: 'none', redirect_uris: ['http://127.0.0.1:1/callback'],
    grant_types: ['authorization_code'], response_types: ['code'], id_token_signed_response_alg: 'RS256',
  }, {
    client_id: 'robot', client_secret: 'only-for-tests-of-this-suite', grant_types: ['client_credentials'],
    redirect_uris: [], response_types: [],
  }],
  jwks: { keys: [key('rsa', { modulusLength: 2048 }, 'RS256'), key('ec', { namedCurve: 'P-256' }, 'ES256')] },
  cookies: { keys: [randomUUID()] },
  scopes: ['openid', 'offline_access', ...scope.split(' ')],
  acrValues: ['bronze', 'silver', 'gold'],
  findAccount: (_, sub) => ({ accountId: sub, claims: () => ({ sub }) }),
  extraTokenClaims: (ctx) => {
    const code = ctx.oidc.entities.AuthorizationCode
    return code ? { acr: code.acr, auth_time: code.authTime } : undefined
  },
  interactions: { url: (_, interaction) => `/interaction/${interaction.uid}` },
  features: {
    devInteractions: { enabled: false },
    registration: { enabled: true },
    clientCredentials: { enabled: true },
    resourceIndicators: {
      enabled: true,
      useGrantedResource: () => true,
      getResourceServerInfo: (_, resource) => ({
        scope: resources.includes(resource) ? scope : '',
        audience: resource, accessTokenTTL: 300, accessTokenFormat: 'jwt',
        jwt: { sign: { alg: 'RS256' } },
      }),
    },
  },
})

provider.use(async (ctx, next) => {
  if (!ctx.path.startsWith('/interaction/')) return next()
  const { prompt, params, grantId, session } = await provider.interactionDetails(ctx.req, ctx.res)
  const result = {}
  if (prompt.name === 'login') {
    result.login = { accountId: 'grace', acr: (params.acr_values ?? 'bronze').split(' ')[0], remember: false }
  } else {
    const grant = grantId
      ? await provider.Grant.find(grantId)
      : new provider.Grant({ accountId: session.accountId, clientId: params.client_id })
    if (prompt.details.missingOIDCScope) grant.addOIDCScope(prompt.details.missingOIDCScope.join(' '))
    for (const [resource, scopes] of Object.entries(prompt.details.missingResourceScopes ?? {})) {
      grant.addResourceScope(resource, scopes.join(' '))
    }
    result.consent = { grantId: await grant.save() }
  }
  return provider.interactionFinished(ctx.req, ctx.res, result, { mergeWithLastSubmission: true })
})

provider.listen(port, '127.0.0.1', () => console.log('ready'))
