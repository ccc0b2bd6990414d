module github.com/skuamq/skua

go 1.26
