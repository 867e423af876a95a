module fingerpost-bench

go 1.23
