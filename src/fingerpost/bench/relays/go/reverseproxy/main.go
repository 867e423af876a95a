// Command reverseproxy is Go's standard httputil.ReverseProxy: each request goes to the address that the label in
// its Host names.
package main

import (
	"context"
	"flag"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"sync"
	"time"

	"fingerpost-bench/label"
)

const bufferBytes = 32 << 10

func main() {
	listen := flag.String("listen", "127.0.0.1:8080", "accept connections on this `address`")
	keyFile := flag.String("key-file", "", "open labels with the Blowfish key in this `file`")
	flag.Parse()
	log.SetFlags(log.Ltime)
	key, err := label.ReadKey(*keyFile)
	if err != nil {
		log.Fatal(err)
	}
	_, port, err := net.SplitHostPort(*listen)
	if err != nil {
		log.Fatal(err)
	}
	server := http.Server{
		Addr:              *listen,
		Handler:           routed(key, newProxy(port)),
		ReadHeaderTimeout: 10 * time.Second,
	}
	log.Fatal(server.ListenAndServe())
}

type addressKey struct{}

// routed finds the address for each request and hands it on in the request's context.
func routed(key *label.Key, proxy http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		address, err := key.Address(r.Host)
		if err != nil {
			log.Printf("404 Not Found: %v", err)
			http.Error(w, "404 Not Found", http.StatusNotFound)
			return
		}
		proxy.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), addressKey{}, address)))
	})
}

func newProxy(port string) *httputil.ReverseProxy {
	return &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.URL.Scheme = "http"
			r.Out.URL.Host = r.In.Context().Value(addressKey{}).(string)
			r.SetXForwarded()
			r.Out.Header.Set("X-Forwarded-Port", port)
		},
		Transport: &http.Transport{
			DialContext:         (&net.Dialer{Timeout: 10 * time.Second}).DialContext,
			DisableCompression:  true, // the client asks for it, or nobody does
			MaxIdleConnsPerHost: 1024, // the default, 2, would close most connections after each request
			IdleConnTimeout:     time.Hour,
		},
		BufferPool: newBufferPool(),
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			log.Printf("502 Bad Gateway: %v", err)
			http.Error(w, "502 Bad Gateway", http.StatusBadGateway)
		},
	}
}

// bufferPool saves the 32 KiB that ReverseProxy would allocate for each body.
type bufferPool struct{ pool sync.Pool }

func newBufferPool() *bufferPool {
	return &bufferPool{sync.Pool{New: func() any { return new([bufferBytes]byte) }}}
}

func (p *bufferPool) Get() []byte { return p.pool.Get().(*[bufferBytes]byte)[:] }

func (p *bufferPool) Put(buffer []byte) { p.pool.Put((*[bufferBytes]byte)(buffer)) }
