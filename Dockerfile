# One node of Flotilla. The binary comes from `make build`, so that the image holds nothing else:
# `make image` does both. It is built on the release of Debian that it runs on.
FROM debian:bookworm-slim

RUN useradd --system --uid 7400 --home-dir /var/lib/flotilla --create-home --shell /usr/sbin/nologin flotilla
COPY flotilla /usr/local/bin/flotilla

USER flotilla
WORKDIR /var/lib/flotilla
VOLUME /var/lib/flotilla

# gRPC, peers, HTTP.
EXPOSE 7400 7401 7402

# The image has no HTTP client, and needs none for one line.
HEALTHCHECK --interval=2s --timeout=2s --start-period=30s --retries=5 \
    CMD ["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/7402 && printf 'GET /readyz HTTP/1.0\r\n\r\n' >&3 && head -n 1 <&3 | grep -q ' 200 '"]

STOPSIGNAL SIGTERM
ENTRYPOINT ["flotilla"]
CMD ["server"]
