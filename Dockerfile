FROM docker.io/library/node:24-bookworm-slim AS build
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
RUN npm ci --ignore-scripts
COPY buf.yaml buf.gen.yaml tsconfig.json rolldown.config.ts ./
COPY proto proto
COPY src src
RUN npm run build && npm prune --omit=dev --ignore-scripts

FROM docker.io/library/node:24-bookworm-slim
# A page to print, which `init` writes into memory, would be gone with the container: it makes one where --page says only.
ENV NODE_ENV=production ANEMONE_NO_PAGE=1
COPY --from=build /app/package.json /app/
COPY --from=build /app/node_modules /app/node_modules
COPY --from=build /app/dist /app/dist
COPY docker/start docker/demo-setup /app/docker/
RUN ln -s /app/dist/node/main.js /usr/local/bin/anemone-node \
 && ln -s /app/dist/client/main.js /usr/local/bin/anemone-peer \
 && install -d -o node -g node -m 0700 /config /config-backups /logs
USER node
# Relative paths of /config/config.yaml begin here: ./config-backups is /config-backups.
WORKDIR /
VOLUME ["/config", "/config-backups", "/logs"]
HEALTHCHECK --interval=30s --timeout=10s --start-period=30s --retries=3 CMD ["anemone-node", "--health"]
ENTRYPOINT ["/app/docker/start"]
