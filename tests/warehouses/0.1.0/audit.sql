BEGIN TRANSACTION;
CREATE TABLE pipeline_execution_log (
    execution_id integer primary key,
    batch_id text not null,
    process_name text not null,
    layer text not null,
    status text not null check (status in ('RUNNING', 'SUCCESS', 'FAILED', 'SKIPPED', 'DIED')),
    start_time text not null,
    end_time text,
    rows_processed integer not null default 0,
    rows_quarantined integer not null default 0,
    error_message text,
    table_digests text,
    rules text
) strict;
INSERT INTO "pipeline_execution_log" VALUES(1,'20251231T060000.000000','raw','raw','SUCCESS','2026-11-26 09:55:17.366383','2026-11-26 09:55:18.281414',252,1,NULL,'{"customers": "402c4749fd560472ddab1a66f6faf0d5", "order_lines": "0906ee8ee14f434e643506a26231d605", "orders": "9f530284e39ad80ec23509ca0caf2ee5", "payments": "32439fe8cd457f741b91bc9a20fbeedf", "products": "777f68782ee471173bffe1cee30c4711"}','{"contract of customers": "a8bcaa4dcc64bcab05d4f61b9e51f5d98f9a535230d54955024bd42638291803", "contract of order_lines": "a43ef1a9734b51f9c22f0db5bdebdaa02e2a00a132aead712044e52c369c852f", "contract of orders": "2555eb77171ec4eee3a39d2312f614cc287cdde617514cfc51ce7dad634d26af", "contract of payments": "fe3d2885f8e7e26534ba49d43ccdbec2e2467bd8e0422185871f2e86d7a31a85", "contract of products": "4a95a11555b4a1fc81984ae8e31e137c545de9a9303f1ab35a6696b1ed05c29a", "notebook 1_raw.ipynb": "33f031958dc062ec6a925258278f2e06f4bbf6f6df665f077de6eb9f7584593f", "suite raw_customers": "3da5af68870a844003fd30fb3ce2183d6d53dcdb6e90722d021a8fd3c6c71375", "suite raw_order_lines": "abcb405a3240a574b204fab0069704186fd498c8ed51e8f88730afcfd0f620c1", "suite raw_orders": "5ac4a0aa2c571ebf8d36cad164490306b0546459a4a0940bff2e522b9b8f5771", "suite raw_payments": "1ff5e92b395dbd8c613188b5f15df1a632a39f20ade21c31ca621ddf72a773c5", "suite raw_products": "8fe598183164f77a689903462213ccd2b6d11cddcea1cb88c7e25868434449df"}');
INSERT INTO "pipeline_execution_log" VALUES(2,'20251231T060000.000000','dimensions','curated','SUCCESS','2026-11-26 09:55:18.593619','2026-11-26 09:55:19.620906',51,0,NULL,'{"dim_customers": "44325c92615cda212a0bbca93138c418", "dim_products": "baafbec0382cb977e42ca501fd53902d"}','{"contract of customers": "a8bcaa4dcc64bcab05d4f61b9e51f5d98f9a535230d54955024bd42638291803", "contract of products": "4a95a11555b4a1fc81984ae8e31e137c545de9a9303f1ab35a6696b1ed05c29a", "notebook 2_dimensions.ipynb": "efde581b0d0212f5ac2b4e64e514035e99cf1ea1bc13edbd82e4ed36dae15d67", "suite dim_customers": "22f13ab1a593963d84b2579cba1e483e049c3c2515cc0505c936d38a7160b13a", "suite dim_products": "39b53b9018e38bfea325058d4e85b697fb6d9d5020e37345c1c5230da3072738"}');
INSERT INTO "pipeline_execution_log" VALUES(3,'20251231T060000.000000','facts','curated','SUCCESS','2026-11-26 09:55:20.005350','2026-11-26 09:55:21.607511',200,2,NULL,'{"fact_order_lines": "a6862b7c4d7f5f59d4452ed7ab49e4c7", "fact_orders": "9adc62819692c7f377bdf177cc1ee95a", "fact_payments": "6c1e642af4c08fdf1e56f024670743c6"}','{"contract of order_lines": "a43ef1a9734b51f9c22f0db5bdebdaa02e2a00a132aead712044e52c369c852f", "contract of orders": "2555eb77171ec4eee3a39d2312f614cc287cdde617514cfc51ce7dad634d26af", "contract of payments": "fe3d2885f8e7e26534ba49d43ccdbec2e2467bd8e0422185871f2e86d7a31a85", "notebook 3_facts.ipynb": "7837b6fe0e882545c7a2139893a3521457b46589b7f7282e4fb83fca8bf31eff", "suite fact_order_lines": "b0db11696ad48b35de6d09956d7fa319addf7ee3906f57b9a885e5866718fe32", "suite fact_orders": "c04229521075080c3540dcd6abb5c613ba368a9b93ea718eff4877b22d9d23d1", "suite fact_payments": "330b67f564c9692bfd2c947542546abfa80bc8d2ea1ebc55db795c42652c620e"}');
INSERT INTO "pipeline_execution_log" VALUES(4,'20251231T060000.000000','gold','gold','SUCCESS','2026-11-26 09:55:21.942836','2026-11-26 09:55:23.549661',170,0,NULL,'{"reporting_customer_stats": "1483ab129d94c9e3aa16a62132fac82d", "reporting_sales_wide": "184d850ee3c372bdcb3512528928460f", "sales_summary_daily": "81a79099c300b149c116eafad9fe384d"}','{"notebook 4_gold.ipynb": "ad613d7357007b84f1f16e6f918dc4ae1649163d9e5a790240196b033d5bddc9", "suite orphans": "db203bc0e5a2d77082e1796165203f1884664f6a4ed82356a3bb2725b4f9ee97", "suite reconciliation": "fd0556c33635eb523fb9ba59c7a22f4f0393692bd4dbfc6a3378274ecb639b93", "suite reporting_customer_stats": "6f97e581d300e11e2f9ff82012190014b2c8ff5fc1fa9aa1cbf5cc49a77e2343", "suite reporting_sales_wide": "e95f9997ce610fc1f69725650ef540dede29a9f7cad29dc91df76da39741462e", "suite sales_summary_daily": "8793a90b1f07ec9ae08b800d9b115ec1a2310da9d4746cf38592173d088b6d88"}');
INSERT INTO "pipeline_execution_log" VALUES(5,'20260101T060000.000000','raw','raw','SUCCESS','2026-11-26 09:55:36.400459','2026-11-26 09:55:37.358109',32,0,NULL,'{"customers": "2d9346ab74ddbd7f9aaaad980f8fb1e7", "order_lines": "0c5a0060d440564e5aa9f5f693033af1", "orders": "460e1578e8c8ef4f75816fc3c5a97333", "payments": "74d7f3553b72dd608002ce9bc4172d89", "products": "9adbbad5348eca8603bb06e1a07e8442"}','{"contract of customers": "a8bcaa4dcc64bcab05d4f61b9e51f5d98f9a535230d54955024bd42638291803", "contract of order_lines": "a43ef1a9734b51f9c22f0db5bdebdaa02e2a00a132aead712044e52c369c852f", "contract of orders": "2555eb77171ec4eee3a39d2312f614cc287cdde617514cfc51ce7dad634d26af", "contract of payments": "fe3d2885f8e7e26534ba49d43ccdbec2e2467bd8e0422185871f2e86d7a31a85", "contract of products": "4a95a11555b4a1fc81984ae8e31e137c545de9a9303f1ab35a6696b1ed05c29a", "notebook 1_raw.ipynb": "33f031958dc062ec6a925258278f2e06f4bbf6f6df665f077de6eb9f7584593f", "suite raw_customers": "3da5af68870a844003fd30fb3ce2183d6d53dcdb6e90722d021a8fd3c6c71375", "suite raw_order_lines": "abcb405a3240a574b204fab0069704186fd498c8ed51e8f88730afcfd0f620c1", "suite raw_orders": "5ac4a0aa2c571ebf8d36cad164490306b0546459a4a0940bff2e522b9b8f5771", "suite raw_payments": "1ff5e92b395dbd8c613188b5f15df1a632a39f20ade21c31ca621ddf72a773c5", "suite raw_products": "8fe598183164f77a689903462213ccd2b6d11cddcea1cb88c7e25868434449df"}');
INSERT INTO "pipeline_execution_log" VALUES(6,'20260101T060000.000000','dimensions','curated','SUCCESS','2026-11-26 09:55:37.987198','2026-11-26 09:55:39.180174',5,0,NULL,'{"dim_customers": "1bdfb151b6a04dbd20f8f3acc5b407ee", "dim_products": "442866c071e3824eac1400adb6822a30"}',NULL);
INSERT INTO "pipeline_execution_log" VALUES(7,'20260101T060000.000000','facts','curated','SUCCESS','2026-11-26 09:55:39.982868','2026-11-26 09:55:41.468087',27,0,NULL,'{"fact_order_lines": "c694604fbb07d9f1dcc03ad954437049", "fact_orders": "48904d677d1550dfbf89a6c8cdb0b33e", "fact_payments": "9fc91ab16601e5024e7e6b1ea4703e12"}',NULL);
INSERT INTO "pipeline_execution_log" VALUES(8,'20260101T060000.000000','gold','gold','SUCCESS','2026-11-26 09:55:41.810404','2026-11-26 09:55:43.084525',90,0,NULL,'{"reporting_customer_stats": "0196c9323fac2624d9f4676c6e199574", "reporting_sales_wide": "d6aa041669e968439f1aa57cbb19c881", "sales_summary_daily": "0a4088a7466155aa42d15b372864504e"}',NULL);
INSERT INTO "pipeline_execution_log" VALUES(9,'20260102T060000.000000','raw','raw','SUCCESS','2026-11-26 09:55:53.350388','2026-11-26 09:55:53.920760',31,0,NULL,'{"customers": "2dcc4db80d19478d63bca821ae29ac35", "order_lines": "0c5a0060d440564e5aa9f5f693033af1", "orders": "fbee83a5553ba535babea11775d651c5", "payments": "74d7f3553b72dd608002ce9bc4172d89", "products": "9adbbad5348eca8603bb06e1a07e8442"}','{"contract of customers": "a8bcaa4dcc64bcab05d4f61b9e51f5d98f9a535230d54955024bd42638291803", "contract of order_lines": "a43ef1a9734b51f9c22f0db5bdebdaa02e2a00a132aead712044e52c369c852f", "contract of orders": "2555eb77171ec4eee3a39d2312f614cc287cdde617514cfc51ce7dad634d26af", "contract of payments": "fe3d2885f8e7e26534ba49d43ccdbec2e2467bd8e0422185871f2e86d7a31a85", "contract of products": "4a95a11555b4a1fc81984ae8e31e137c545de9a9303f1ab35a6696b1ed05c29a", "notebook 1_raw.ipynb": "33f031958dc062ec6a925258278f2e06f4bbf6f6df665f077de6eb9f7584593f", "suite raw_customers": "3da5af68870a844003fd30fb3ce2183d6d53dcdb6e90722d021a8fd3c6c71375", "suite raw_order_lines": "abcb405a3240a574b204fab0069704186fd498c8ed51e8f88730afcfd0f620c1", "suite raw_orders": "5ac4a0aa2c571ebf8d36cad164490306b0546459a4a0940bff2e522b9b8f5771", "suite raw_payments": "1ff5e92b395dbd8c613188b5f15df1a632a39f20ade21c31ca621ddf72a773c5", "suite raw_products": "8fe598183164f77a689903462213ccd2b6d11cddcea1cb88c7e25868434449df"}');
INSERT INTO "pipeline_execution_log" VALUES(10,'20260102T060000.000000','dimensions','curated','SUCCESS','2026-11-26 09:55:54.272979','2026-11-26 09:55:54.872822',0,0,NULL,'{"dim_customers": "5bc32f081262e441af829d0a9dd7eb5a", "dim_products": "442866c071e3824eac1400adb6822a30"}',NULL);
INSERT INTO "pipeline_execution_log" VALUES(11,'20260102T060000.000000','facts','curated','SUCCESS','2026-11-26 09:55:55.355834','2026-11-26 09:55:56.319860',1,0,NULL,'{"fact_order_lines": "c694604fbb07d9f1dcc03ad954437049", "fact_orders": "42723335330cf6979e0ebd208866bbc5", "fact_payments": "9fc91ab16601e5024e7e6b1ea4703e12"}',NULL);
INSERT INTO "pipeline_execution_log" VALUES(12,'20260102T060000.000000','gold','gold','SUCCESS','2026-11-26 09:55:56.780947','2026-11-26 09:55:58.400205',29,0,NULL,'{"reporting_customer_stats": "d5267f1d4a3a8ac99dfcdc63dcb1e33d", "reporting_sales_wide": "00b42b49d74fc014ea8e9f8f5863a477", "sales_summary_daily": "cd182eda623fc32b7ad5e20b7f9951dc"}',NULL);
INSERT INTO "pipeline_execution_log" VALUES(13,'20260103T060000.000000','raw','raw','SUCCESS','2026-11-26 09:56:01.410887','2026-11-26 09:56:01.435170',0,0,NULL,NULL,NULL);
INSERT INTO "pipeline_execution_log" VALUES(14,'20260103T060000.000000','dimensions','curated','SUCCESS','2026-11-26 09:56:08.721574','2026-11-26 09:56:09.507383',56,0,NULL,'{"dim_customers": "5bc32f081262e441af829d0a9dd7eb5a", "dim_products": "442866c071e3824eac1400adb6822a30"}','{"contract of customers": "a8bcaa4dcc64bcab05d4f61b9e51f5d98f9a535230d54955024bd42638291803", "contract of products": "4a95a11555b4a1fc81984ae8e31e137c545de9a9303f1ab35a6696b1ed05c29a", "notebook 2_dimensions.ipynb": "efde581b0d0212f5ac2b4e64e514035e99cf1ea1bc13edbd82e4ed36dae15d67", "suite dim_customers": "22f13ab1a593963d84b2579cba1e483e049c3c2515cc0505c936d38a7160b13a", "suite dim_products": "39b53b9018e38bfea325058d4e85b697fb6d9d5020e37345c1c5230da3072738"}');
INSERT INTO "pipeline_execution_log" VALUES(15,'20260103T060000.000000','facts','curated','SUCCESS','2026-11-26 09:56:09.932585','2026-11-26 09:56:11.479901',228,2,NULL,'{"fact_order_lines": "c694604fbb07d9f1dcc03ad954437049", "fact_orders": "42723335330cf6979e0ebd208866bbc5", "fact_payments": "9fc91ab16601e5024e7e6b1ea4703e12"}','{"contract of order_lines": "a43ef1a9734b51f9c22f0db5bdebdaa02e2a00a132aead712044e52c369c852f", "contract of orders": "2555eb77171ec4eee3a39d2312f614cc287cdde617514cfc51ce7dad634d26af", "contract of payments": "fe3d2885f8e7e26534ba49d43ccdbec2e2467bd8e0422185871f2e86d7a31a85", "notebook 3_facts.ipynb": "7837b6fe0e882545c7a2139893a3521457b46589b7f7282e4fb83fca8bf31eff", "suite fact_order_lines": "b0db11696ad48b35de6d09956d7fa319addf7ee3906f57b9a885e5866718fe32", "suite fact_orders": "c04229521075080c3540dcd6abb5c613ba368a9b93ea718eff4877b22d9d23d1", "suite fact_payments": "330b67f564c9692bfd2c947542546abfa80bc8d2ea1ebc55db795c42652c620e"}');
INSERT INTO "pipeline_execution_log" VALUES(16,'20260103T060000.000000','gold','gold','SUCCESS','2026-11-26 09:56:11.773189','2026-11-26 09:56:13.892297',184,0,NULL,'{"reporting_customer_stats": "bcae94bbe07939efb797e46c908f1b84", "reporting_sales_wide": "00b42b49d74fc014ea8e9f8f5863a477", "sales_summary_daily": "cd182eda623fc32b7ad5e20b7f9951dc"}','{"notebook 4_gold.ipynb": "ad613d7357007b84f1f16e6f918dc4ae1649163d9e5a790240196b033d5bddc9", "suite orphans": "db203bc0e5a2d77082e1796165203f1884664f6a4ed82356a3bb2725b4f9ee97", "suite reconciliation": "fd0556c33635eb523fb9ba59c7a22f4f0393692bd4dbfc6a3378274ecb639b93", "suite reporting_customer_stats": "6f97e581d300e11e2f9ff82012190014b2c8ff5fc1fa9aa1cbf5cc49a77e2343", "suite reporting_sales_wide": "e95f9997ce610fc1f69725650ef540dede29a9f7cad29dc91df76da39741462e", "suite sales_summary_daily": "8793a90b1f07ec9ae08b800d9b115ec1a2310da9d4746cf38592173d088b6d88"}');
INSERT INTO "pipeline_execution_log" VALUES(17,'20260104T060000.000000','raw','raw','SUCCESS','2026-11-26 09:56:23.916977','2026-11-26 09:56:24.699830',9,0,NULL,'{"customers": "2dcc4db80d19478d63bca821ae29ac35", "order_lines": "0c5a0060d440564e5aa9f5f693033af1", "orders": "f2a2a16223e51435999ccab1555c4226", "payments": "6b138d47719c4853ae22e4dbefbce22c", "products": "9adbbad5348eca8603bb06e1a07e8442"}','{"contract of customers": "a8bcaa4dcc64bcab05d4f61b9e51f5d98f9a535230d54955024bd42638291803", "contract of order_lines": "a43ef1a9734b51f9c22f0db5bdebdaa02e2a00a132aead712044e52c369c852f", "contract of orders": "2555eb77171ec4eee3a39d2312f614cc287cdde617514cfc51ce7dad634d26af", "contract of payments": "fe3d2885f8e7e26534ba49d43ccdbec2e2467bd8e0422185871f2e86d7a31a85", "contract of products": "4a95a11555b4a1fc81984ae8e31e137c545de9a9303f1ab35a6696b1ed05c29a", "notebook 1_raw.ipynb": "33f031958dc062ec6a925258278f2e06f4bbf6f6df665f077de6eb9f7584593f", "suite raw_customers": "3da5af68870a844003fd30fb3ce2183d6d53dcdb6e90722d021a8fd3c6c71375", "suite raw_order_lines": "abcb405a3240a574b204fab0069704186fd498c8ed51e8f88730afcfd0f620c1", "suite raw_orders": "5ac4a0aa2c571ebf8d36cad164490306b0546459a4a0940bff2e522b9b8f5771", "suite raw_payments": "1ff5e92b395dbd8c613188b5f15df1a632a39f20ade21c31ca621ddf72a773c5", "suite raw_products": "8fe598183164f77a689903462213ccd2b6d11cddcea1cb88c7e25868434449df"}');
INSERT INTO "pipeline_execution_log" VALUES(18,'20260104T060000.000000','dimensions','curated','SUCCESS','2026-11-26 09:56:25.106823','2026-11-26 09:56:25.120191',0,0,NULL,NULL,NULL);
INSERT INTO "pipeline_execution_log" VALUES(19,'20260104T060000.000000','facts','curated','SUCCESS','2026-11-26 09:56:25.223278','2026-11-26 09:56:26.409976',2,0,NULL,'{"fact_order_lines": "c694604fbb07d9f1dcc03ad954437049", "fact_orders": "e052bef9b5f9c518730f570119cc9de8", "fact_payments": "527e301bf5543533cf82c50681082780"}',NULL);
INSERT INTO "pipeline_execution_log" VALUES(20,'20260104T060000.000000','gold','gold','SUCCESS','2026-11-26 09:56:26.918813','2026-11-26 09:56:28.215657',34,0,NULL,'{"reporting_customer_stats": "03c8784d025a178256ae71182d0be7b9", "reporting_sales_wide": "9b55d3464e3e66f93e306666aa7bbab3", "sales_summary_daily": "dba245ccdfe80959ea59584cc38c5d67"}',NULL);
CREATE TABLE pipeline_manifest (
    manifest_id integer primary key,
    batch_id text not null unique,
    begun text,
    manifest text,
    manifest_sha256 text
) strict;
INSERT INTO "pipeline_manifest" VALUES(1,'20251231T060000.000000',NULL,'{
 "batch_id": "20251231T060000.000000",
 "now": "2025-12-31 06:00:00.000000",
 "started": "2026-11-26 09:55:12.838364",
 "parameters": {
  "full_refresh": false,
  "steps": [
   "raw",
   "dimensions",
   "facts",
   "gold"
  ],
  "snapshot": [],
  "snapshot_limit": 0.2,
  "quarantine_limit": 0.1
 },
 "engine": "sqlite",
 "git": {
  "commit": "d5eccd7086a9961058695a9996ddfa6231ebc701",
  "is_clean": false
 },
 "lib": "3df8c994f4c69c1e865bd3705de06c3b24fa0da05832c0cc02c262895f82c2d9",
 "notebooks": {
  "1_raw.ipynb": "fe60e27c5d6ccd2c8b66d2cf2a176acaa85548113197f4ca76dd2e4357e5fd80",
  "2_dimensions.ipynb": "9b0bbcf2bf7df8d36fb5c17c78615d2708318d6e1df69c444ecd8629a3f12bc9",
  "3_facts.ipynb": "7ba83f3c0a697d59fb5f27e92f43728a8a244ce8f4e975369d6d9f75694665e4",
  "4_gold.ipynb": "b03c92ade0070e2f4c5dd897e1ee6a146bad3287c85437c71677ba60022db62a"
 },
 "suites": {
  "dim_customers": "dacd4efc7f8eabe0916350f5d98aff35660c88aa1ec97feb11da689f193b3b14",
  "dim_products": "47be5d5b00daa351d6e7a1307f3c2484f7912c64aaba665dc25a08896f9af884",
  "fact_order_lines": "589272d515e440d6a8bc88e8f836b440321a40fd7ac0f5fec28faad683423efe",
  "fact_orders": "c3c2068acbd3c4b2ffcd9ef3e5862d6edf894c0c839e209c9f19fc54430ace8a",
  "fact_payments": "e9b8c0a15e56b8caa58b9659f7818adec1a0197e97319490fca71c6265512b0b",
  "orphans": "27d3d534582a776508e71f4b98f2bf3d8de8ef68f4b74f6ce2447fac4e92c942",
  "raw_customers": "0cb13d45c326feafe71dde2a504efb9d66fcc614b8e33e4f4c6590cacd3b8240",
  "raw_order_lines": "317d9faaaf74976394be7e09c1be3e4c1e6f08fef42856f99ab54c702e7abad7",
  "raw_orders": "00d324540f87f698fd67bbd0c3a0a699f5e7bad0119b4e6d2172453c156326f8",
  "raw_payments": "d27837adbc9e91d5b816057e9365df352825920176324234bdc3ff70e7c57288",
  "raw_products": "0ec2114b31ca33bfd3bf809f978d3e55ad058abff205a101acbe6b78c759b339",
  "reconciliation": "359de206abbbb5d1bc0dac761846846c0ce9f538a84697e2034e7bf4f24015cb",
  "reporting_customer_stats": "382770743a4123c9c719d4a46dcbba55f57eaac013f04adf3f60275cb08e2bc3",
  "reporting_sales_wide": "e4961c16a962a91cf24d55102028ab445ca4e3eaaa664914b79beb91cd2c5fc7",
  "sales_summary_daily": "9f02423e32cdb28fb8d45649199abb274e0361fc252d343bd90bc72b71291c05"
 },
 "contract": "017d64722d254512e0f05ad5564836ab7146530c3d97af33ed97f55cdd843895",
 "lock": "75d38a026931dca9a6317715b73aba693f492f7f24d60bd2ea76d3dd89b42373",
 "versions": {
  "python": "3.11.7",
  "sqlite": "3.40.1",
  "adbc-driver-sqlite": "1.13.0",
  "duckdb": "2.0.0",
  "great-expectations": "1.24.1",
  "nbclient": "0.11.0",
  "pandas": "3.1.1",
  "papermill": "2.7.0",
  "pyarrow": "26.0.1"
 },
 "watermarks_before": {},
 "steps": {
  "raw": {
   "status": "SUCCESS",
   "has_run": true,
   "is_full": false,
   "error": null
  },
  "dimensions": {
   "status": "SUCCESS",
   "has_run": true,
   "is_full": true,
   "error": null
  },
  "facts": {
   "status": "SUCCESS",
   "has_run": true,
   "is_full": true,
   "error": null
  },
  "gold": {
   "status": "SUCCESS",
   "has_run": true,
   "is_full": true,
   "error": null
  }
 },
 "deliveries": [
  {
   "name": "customers.csv",
   "source": "customers",
   "bytes": 2377,
   "sha256": "7140219473ee51927bc592d9d2b3389e3bdedb70311b62c3defdab9d2b32de66",
   "rows": 31,
   "is_snapshot": 0
  },
  {
   "name": "order_lines.csv",
   "source": "order_lines",
   "bytes": 4680,
   "sha256": "c695000e9a648fa44b792f448abd846f3961b8247eb167c03b79bb7e94218bf7",
   "rows": 121,
   "is_snapshot": 0
  },
  {
   "name": "orders.csv",
   "source": "orders",
   "bytes": 2135,
   "sha256": "c510089acc54a096b253af208105602e1a30cdcfbbf9aeb60b341320b68583bf",
   "rows": 41,
   "is_snapshot": 0
  },
  {
   "name": "payments.csv",
   "source": "payments",
   "bytes": 2207,
   "sha256": "270ae2c3ebbe0eb8cba15f8ffd47ba42fa94ac6e9264fb9efb10a99e61fdabe1",
   "rows": 39,
   "is_snapshot": 0
  },
  {
   "name": "products.csv",
   "source": "products",
   "bytes": 1358,
   "sha256": "d90a11eb8f755cf3b84ac03aefa250db66d63913bcd220b40ea6df1f379edd4e",
   "rows": 20,
   "is_snapshot": 0
  }
 ],
 "watermarks_after": {
  "dimensions": [
   "2025-12-31 06:00:00.000000",
   "20251231T060000.000000"
  ],
  "facts": [
   "2025-12-31 06:00:00.000000",
   "20251231T060000.000000"
  ],
  "gold": [
   "2025-12-31 06:00:00.000001",
   "20251231T060000.000000"
  ],
  "raw": [
   "2025-12-31 06:00:00.000000",
   "20251231T060000.000000"
  ]
 },
 "digests": {
  "raw": {
   "customers": "402c4749fd560472ddab1a66f6faf0d5",
   "order_lines": "0906ee8ee14f434e643506a26231d605",
   "orders": "9f530284e39ad80ec23509ca0caf2ee5",
   "payments": "32439fe8cd457f741b91bc9a20fbeedf",
   "products": "777f68782ee471173bffe1cee30c4711"
  },
  "curated": {
   "dim_customers": "44325c92615cda212a0bbca93138c418",
   "dim_products": "baafbec0382cb977e42ca501fd53902d",
   "fact_order_lines": "a6862b7c4d7f5f59d4452ed7ab49e4c7",
   "fact_orders": "9adc62819692c7f377bdf177cc1ee95a",
   "fact_payments": "6c1e642af4c08fdf1e56f024670743c6"
  },
  "gold": {
   "reporting_customer_stats": "1483ab129d94c9e3aa16a62132fac82d",
   "reporting_sales_wide": "184d850ee3c372bdcb3512528928460f",
   "sales_summary_daily": "81a79099c300b149c116eafad9fe384d"
  }
 },
 "unreadable": {},
 "executed": {
  "1_raw.ipynb": "83f3bafaf83e1ff52f882ef899bb1791b6733073bf64cb7ac58bedf84399d951",
  "2_dimensions.ipynb": "e34fcb80b38088622e0c0554688fea6920ec0e0b8a39becc70b17397e813abc9",
  "3_facts.ipynb": "732505e08f78ddfd841a41004b1771e078c37638ba9ddbffd6a7dd123162ed51",
  "4_gold.ipynb": "5756c02c0a6637dc15ad6b53cb7e706a55eb1ca5c8bc5bb111faa4f9a49e0402"
 },
 "previous_manifest_sha256": "",
 "log_rows_to": 4,
 "log_rows_sha256": "759446bd66077ce3e9930c9bd77099f2335c29b26cd77cf704f41cd3a84238ec"
}','028eb48c53f06439202442d4ca9b659a4fb7abeb877da642d24ea195de744138');
INSERT INTO "pipeline_manifest" VALUES(2,'20260101T060000.000000',NULL,'{
 "batch_id": "20260101T060000.000000",
 "now": "2026-01-01 06:00:00.000000",
 "started": "2026-11-26 09:55:30.202451",
 "parameters": {
  "full_refresh": false,
  "steps": [
   "raw",
   "dimensions",
   "facts",
   "gold"
  ],
  "snapshot": [],
  "snapshot_limit": 0.2,
  "quarantine_limit": 0.1
 },
 "engine": "sqlite",
 "git": {
  "commit": "d5eccd7086a9961058695a9996ddfa6231ebc701",
  "is_clean": false
 },
 "lib": "3df8c994f4c69c1e865bd3705de06c3b24fa0da05832c0cc02c262895f82c2d9",
 "notebooks": {
  "1_raw.ipynb": "fe60e27c5d6ccd2c8b66d2cf2a176acaa85548113197f4ca76dd2e4357e5fd80",
  "2_dimensions.ipynb": "9b0bbcf2bf7df8d36fb5c17c78615d2708318d6e1df69c444ecd8629a3f12bc9",
  "3_facts.ipynb": "7ba83f3c0a697d59fb5f27e92f43728a8a244ce8f4e975369d6d9f75694665e4",
  "4_gold.ipynb": "b03c92ade0070e2f4c5dd897e1ee6a146bad3287c85437c71677ba60022db62a"
 },
 "suites": {
  "dim_customers": "dacd4efc7f8eabe0916350f5d98aff35660c88aa1ec97feb11da689f193b3b14",
  "dim_products": "47be5d5b00daa351d6e7a1307f3c2484f7912c64aaba665dc25a08896f9af884",
  "fact_order_lines": "589272d515e440d6a8bc88e8f836b440321a40fd7ac0f5fec28faad683423efe",
  "fact_orders": "c3c2068acbd3c4b2ffcd9ef3e5862d6edf894c0c839e209c9f19fc54430ace8a",
  "fact_payments": "e9b8c0a15e56b8caa58b9659f7818adec1a0197e97319490fca71c6265512b0b",
  "orphans": "27d3d534582a776508e71f4b98f2bf3d8de8ef68f4b74f6ce2447fac4e92c942",
  "raw_customers": "0cb13d45c326feafe71dde2a504efb9d66fcc614b8e33e4f4c6590cacd3b8240",
  "raw_order_lines": "317d9faaaf74976394be7e09c1be3e4c1e6f08fef42856f99ab54c702e7abad7",
  "raw_orders": "00d324540f87f698fd67bbd0c3a0a699f5e7bad0119b4e6d2172453c156326f8",
  "raw_payments": "d27837adbc9e91d5b816057e9365df352825920176324234bdc3ff70e7c57288",
  "raw_products": "0ec2114b31ca33bfd3bf809f978d3e55ad058abff205a101acbe6b78c759b339",
  "reconciliation": "359de206abbbb5d1bc0dac761846846c0ce9f538a84697e2034e7bf4f24015cb",
  "reporting_customer_stats": "382770743a4123c9c719d4a46dcbba55f57eaac013f04adf3f60275cb08e2bc3",
  "reporting_sales_wide": "e4961c16a962a91cf24d55102028ab445ca4e3eaaa664914b79beb91cd2c5fc7",
  "sales_summary_daily": "9f02423e32cdb28fb8d45649199abb274e0361fc252d343bd90bc72b71291c05"
 },
 "contract": "017d64722d254512e0f05ad5564836ab7146530c3d97af33ed97f55cdd843895",
 "lock": "75d38a026931dca9a6317715b73aba693f492f7f24d60bd2ea76d3dd89b42373",
 "versions": {
  "python": "3.11.7",
  "sqlite": "3.40.1",
  "adbc-driver-sqlite": "1.13.0",
  "duckdb": "2.0.0",
  "great-expectations": "1.24.1",
  "nbclient": "0.11.0",
  "pandas": "3.1.1",
  "papermill": "2.7.0",
  "pyarrow": "26.0.1"
 },
 "watermarks_before": {
  "dimensions": [
   "2025-12-31 06:00:00.000000",
   "20251231T060000.000000"
  ],
  "facts": [
   "2025-12-31 06:00:00.000000",
   "20251231T060000.000000"
  ],
  "gold": [
   "2025-12-31 06:00:00.000001",
   "20251231T060000.000000"
  ],
  "raw": [
   "2025-12-31 06:00:00.000000",
   "20251231T060000.000000"
  ]
 },
 "steps": {
  "raw": {
   "status": "SUCCESS",
   "has_run": true,
   "is_full": false,
   "error": null
  },
  "dimensions": {
   "status": "SUCCESS",
   "has_run": true,
   "is_full": false,
   "error": null
  },
  "facts": {
   "status": "SUCCESS",
   "has_run": true,
   "is_full": false,
   "error": null
  },
  "gold": {
   "status": "SUCCESS",
   "has_run": true,
   "is_full": false,
   "error": null
  }
 },
 "deliveries": [
  {
   "name": "customers_2025-12-31.csv",
   "source": "customers",
   "bytes": 291,
   "sha256": "463ea8f41aca042891bedc008c6f976009cda19d8a44c8bb968264bd855cb591",
   "rows": 3,
   "is_snapshot": 0
  },
  {
   "name": "order_lines_2025-12-31.csv",
   "source": "order_lines",
   "bytes": 565,
   "sha256": "e4400c43b40bce813dc6266d993bd66db1187e2faadf494d8be2883927be836a",
   "rows": 13,
   "is_snapshot": 0
  },
  {
   "name": "orders_2025-12-31.csv",
   "source": "orders",
   "bytes": 466,
   "sha256": "e5ac4633c941f4fd191fcb2288bd46d70d3bf0a917f21a7ae45b55dd7b23bd1a",
   "rows": 8,
   "is_snapshot": 0
  },
  {
   "name": "payments_2025-12-31.csv",
   "source": "payments",
   "bytes": 404,
   "sha256": "577c474634823c10780f612a03581e55315d582dd6736f2170a92e7ef06856ce",
   "rows": 6,
   "is_snapshot": 0
  },
  {
   "name": "products_2025-12-31.csv",
   "source": "products",
   "bytes": 205,
   "sha256": "2ccb941156607cee9b55e02ce22d20debc6f25f9c4f9cc1dad1adb99f596ed78",
   "rows": 2,
   "is_snapshot": 0
  }
 ],
 "watermarks_after": {
  "dimensions": [
   "2026-01-01 06:00:00.000000",
   "20260101T060000.000000"
  ],
  "facts": [
   "2026-01-01 06:00:00.000000",
   "20260101T060000.000000"
  ],
  "gold": [
   "2026-01-01 06:00:00.000001",
   "20260101T060000.000000"
  ],
  "raw": [
   "2026-01-01 06:00:00.000000",
   "20260101T060000.000000"
  ]
 },
 "digests": {
  "raw": {
   "customers": "2d9346ab74ddbd7f9aaaad980f8fb1e7",
   "order_lines": "0c5a0060d440564e5aa9f5f693033af1",
   "orders": "460e1578e8c8ef4f75816fc3c5a97333",
   "payments": "74d7f3553b72dd608002ce9bc4172d89",
   "products": "9adbbad5348eca8603bb06e1a07e8442"
  },
  "curated": {
   "dim_customers": "1bdfb151b6a04dbd20f8f3acc5b407ee",
   "dim_products": "442866c071e3824eac1400adb6822a30",
   "fact_order_lines": "c694604fbb07d9f1dcc03ad954437049",
   "fact_orders": "48904d677d1550dfbf89a6c8cdb0b33e",
   "fact_payments": "9fc91ab16601e5024e7e6b1ea4703e12"
  },
  "gold": {
   "reporting_customer_stats": "0196c9323fac2624d9f4676c6e199574",
   "reporting_sales_wide": "d6aa041669e968439f1aa57cbb19c881",
   "sales_summary_daily": "0a4088a7466155aa42d15b372864504e"
  }
 },
 "unreadable": {},
 "executed": {
  "1_raw.ipynb": "7a91350d823da06768e9a9bbe06833b4217a0154459e2fcc6490923caac6e90a",
  "2_dimensions.ipynb": "689326a1d772de54b6f22a70bdc4dfc6b266675e3267e74284c934c1e4700044",
  "3_facts.ipynb": "6217a062267896ba74740d8424b0670e4fc336cd69cb82e210daa0c219620864",
  "4_gold.ipynb": "90517d446c1c5fb49be104946476f66dfb1304f272b294414424e48853272a40"
 },
 "previous_manifest_sha256": "028eb48c53f06439202442d4ca9b659a4fb7abeb877da642d24ea195de744138",
 "log_rows_to": 8,
 "log_rows_sha256": "edc2dfa0af92b82535f91699c442cb3911cc598bbc76e4d85270f4d28da3daa5"
}','8672e20c9d2af8da3dc2ec489a2e5af341943a52177a2877faa6f2a98ab07525');
INSERT INTO "pipeline_manifest" VALUES(3,'20260102T060000.000000',NULL,'{
 "batch_id": "20260102T060000.000000",
 "now": "2026-01-02 06:00:00.000000",
 "started": "2026-11-26 09:55:48.058625",
 "parameters": {
  "full_refresh": false,
  "steps": [
   "raw",
   "dimensions",
   "facts",
   "gold"
  ],
  "snapshot": [
   "customers"
  ],
  "snapshot_limit": 0.2,
  "quarantine_limit": 0.1
 },
 "engine": "sqlite",
 "git": {
  "commit": "d5eccd7086a9961058695a9996ddfa6231ebc701",
  "is_clean": false
 },
 "lib": "3df8c994f4c69c1e865bd3705de06c3b24fa0da05832c0cc02c262895f82c2d9",
 "notebooks": {
  "1_raw.ipynb": "fe60e27c5d6ccd2c8b66d2cf2a176acaa85548113197f4ca76dd2e4357e5fd80",
  "2_dimensions.ipynb": "9b0bbcf2bf7df8d36fb5c17c78615d2708318d6e1df69c444ecd8629a3f12bc9",
  "3_facts.ipynb": "7ba83f3c0a697d59fb5f27e92f43728a8a244ce8f4e975369d6d9f75694665e4",
  "4_gold.ipynb": "b03c92ade0070e2f4c5dd897e1ee6a146bad3287c85437c71677ba60022db62a"
 },
 "suites": {
  "dim_customers": "dacd4efc7f8eabe0916350f5d98aff35660c88aa1ec97feb11da689f193b3b14",
  "dim_products": "47be5d5b00daa351d6e7a1307f3c2484f7912c64aaba665dc25a08896f9af884",
  "fact_order_lines": "589272d515e440d6a8bc88e8f836b440321a40fd7ac0f5fec28faad683423efe",
  "fact_orders": "c3c2068acbd3c4b2ffcd9ef3e5862d6edf894c0c839e209c9f19fc54430ace8a",
  "fact_payments": "e9b8c0a15e56b8caa58b9659f7818adec1a0197e97319490fca71c6265512b0b",
  "orphans": "27d3d534582a776508e71f4b98f2bf3d8de8ef68f4b74f6ce2447fac4e92c942",
  "raw_customers": "0cb13d45c326feafe71dde2a504efb9d66fcc614b8e33e4f4c6590cacd3b8240",
  "raw_order_lines": "317d9faaaf74976394be7e09c1be3e4c1e6f08fef42856f99ab54c702e7abad7",
  "raw_orders": "00d324540f87f698fd67bbd0c3a0a699f5e7bad0119b4e6d2172453c156326f8",
  "raw_payments": "d27837adbc9e91d5b816057e9365df352825920176324234bdc3ff70e7c57288",
  "raw_products": "0ec2114b31ca33bfd3bf809f978d3e55ad058abff205a101acbe6b78c759b339",
  "reconciliation": "359de206abbbb5d1bc0dac761846846c0ce9f538a84697e2034e7bf4f24015cb",
  "reporting_customer_stats": "382770743a4123c9c719d4a46dcbba55f57eaac013f04adf3f60275cb08e2bc3",
  "reporting_sales_wide": "e4961c16a962a91cf24d55102028ab445ca4e3eaaa664914b79beb91cd2c5fc7",
  "sales_summary_daily": "9f02423e32cdb28fb8d45649199abb274e0361fc252d343bd90bc72b71291c05"
 },
 "contract": "017d64722d254512e0f05ad5564836ab7146530c3d97af33ed97f55cdd843895",
 "lock": "75d38a026931dca9a6317715b73aba693f492f7f24d60bd2ea76d3dd89b42373",
 "versions": {
  "python": "3.11.7",
  "sqlite": "3.40.1",
  "adbc-driver-sqlite": "1.13.0",
  "duckdb": "2.0.0",
  "great-expectations": "1.24.1",
  "nbclient": "0.11.0",
  "pandas": "3.1.1",
  "papermill": "2.7.0",
  "pyarrow": "26.0.1"
 },
 "watermarks_before": {
  "dimensions": [
   "2026-01-01 06:00:00.000000",
   "20260101T060000.000000"
  ],
  "facts": [
   "2026-01-01 06:00:00.000000",
   "20260101T060000.000000"
  ],
  "gold": [
   "2026-01-01 06:00:00.000001",
   "20260101T060000.000000"
  ],
  "raw": [
   "2026-01-01 06:00:00.000000",
   "20260101T060000.000000"
  ]
 },
 "steps": {
  "raw": {
   "status": "SUCCESS",
   "has_run": true,
   "is_full": false,
   "error": null
  },
  "dimensions": {
   "status": "SUCCESS",
   "has_run": true,
   "is_full": false,
   "error": null
  },
  "facts": {
   "status": "SUCCESS",
   "has_run": true,
   "is_full": false,
   "error": null
  },
  "gold": {
   "status": "SUCCESS",
   "has_run": true,
   "is_full": false,
   "error": null
  }
 },
 "deliveries": [
  {
   "name": "customers_all.csv",
   "source": "customers",
   "bytes": 2268,
   "sha256": "99f73cb74500a2b8b3ca9a11198507aebf9f054f86faaa828ca9317a09065321",
   "rows": 30,
   "is_snapshot": 1
  },
  {
   "name": "orders_corrected.csv",
   "source": "orders",
   "bytes": 106,
   "sha256": "06f95ade849cf29c7268cae6c6a509aefbf54cc1fe905ee2d45faa8a67c7b61c",
   "rows": 1,
   "is_snapshot": 0
  }
 ],
 "watermarks_after": {
  "dimensions": [
   "2026-01-02 06:00:00.000000",
   "20260102T060000.000000"
  ],
  "facts": [
   "2026-01-02 06:00:00.000000",
   "20260102T060000.000000"
  ],
  "gold": [
   "2026-01-02 06:00:00.000001",
   "20260102T060000.000000"
  ],
  "raw": [
   "2026-01-02 06:00:00.000000",
   "20260102T060000.000000"
  ]
 },
 "digests": {
  "raw": {
   "customers": "2dcc4db80d19478d63bca821ae29ac35",
   "order_lines": "0c5a0060d440564e5aa9f5f693033af1",
   "orders": "fbee83a5553ba535babea11775d651c5",
   "payments": "74d7f3553b72dd608002ce9bc4172d89",
   "products": "9adbbad5348eca8603bb06e1a07e8442"
  },
  "curated": {
   "dim_customers": "5bc32f081262e441af829d0a9dd7eb5a",
   "dim_products": "442866c071e3824eac1400adb6822a30",
   "fact_order_lines": "c694604fbb07d9f1dcc03ad954437049",
   "fact_orders": "42723335330cf6979e0ebd208866bbc5",
   "fact_payments": "9fc91ab16601e5024e7e6b1ea4703e12"
  },
  "gold": {
   "reporting_customer_stats": "d5267f1d4a3a8ac99dfcdc63dcb1e33d",
   "reporting_sales_wide": "00b42b49d74fc014ea8e9f8f5863a477",
   "sales_summary_daily": "cd182eda623fc32b7ad5e20b7f9951dc"
  }
 },
 "unreadable": {},
 "executed": {
  "1_raw.ipynb": "8c5152a497386c74e3faed6e5d82352ead37ab58faf3141af7d0bd910e5417ba",
  "2_dimensions.ipynb": "2cede077938a8047fbebf2c781dc05c08824ed343a2e1c1af4733558d6b6256f",
  "3_facts.ipynb": "8f65e4e23b35ee6afad129976222e21fa6b52b84fed5fa2920afc6b270e28fe9",
  "4_gold.ipynb": "2ff5b7ffa3e9a51663f8d96fa3c3fc67cac7931957bd152836d388881d0062a3"
 },
 "previous_manifest_sha256": "8672e20c9d2af8da3dc2ec489a2e5af341943a52177a2877faa6f2a98ab07525",
 "log_rows_to": 12,
 "log_rows_sha256": "b20898eebec6d31595fde65b5948ff9f411ed107da21ef3c37590afe3397fd33"
}','b017c6c26bd5d19094da14796cec0a0f4fd710a603a19d9d61d80aff3f5c0840');
INSERT INTO "pipeline_manifest" VALUES(4,'20260103T060000.000000',NULL,'{
 "batch_id": "20260103T060000.000000",
 "now": "2026-01-03 06:00:00.000000",
 "started": "2026-11-26 09:56:02.894007",
 "parameters": {
  "full_refresh": true,
  "steps": [
   "raw",
   "dimensions",
   "facts",
   "gold"
  ],
  "snapshot": [],
  "snapshot_limit": 0.2,
  "quarantine_limit": 0.1
 },
 "engine": "sqlite",
 "git": {
  "commit": "d5eccd7086a9961058695a9996ddfa6231ebc701",
  "is_clean": false
 },
 "lib": "3df8c994f4c69c1e865bd3705de06c3b24fa0da05832c0cc02c262895f82c2d9",
 "notebooks": {
  "1_raw.ipynb": "fe60e27c5d6ccd2c8b66d2cf2a176acaa85548113197f4ca76dd2e4357e5fd80",
  "2_dimensions.ipynb": "9b0bbcf2bf7df8d36fb5c17c78615d2708318d6e1df69c444ecd8629a3f12bc9",
  "3_facts.ipynb": "7ba83f3c0a697d59fb5f27e92f43728a8a244ce8f4e975369d6d9f75694665e4",
  "4_gold.ipynb": "b03c92ade0070e2f4c5dd897e1ee6a146bad3287c85437c71677ba60022db62a"
 },
 "suites": {
  "dim_customers": "dacd4efc7f8eabe0916350f5d98aff35660c88aa1ec97feb11da689f193b3b14",
  "dim_products": "47be5d5b00daa351d6e7a1307f3c2484f7912c64aaba665dc25a08896f9af884",
  "fact_order_lines": "589272d515e440d6a8bc88e8f836b440321a40fd7ac0f5fec28faad683423efe",
  "fact_orders": "c3c2068acbd3c4b2ffcd9ef3e5862d6edf894c0c839e209c9f19fc54430ace8a",
  "fact_payments": "e9b8c0a15e56b8caa58b9659f7818adec1a0197e97319490fca71c6265512b0b",
  "orphans": "27d3d534582a776508e71f4b98f2bf3d8de8ef68f4b74f6ce2447fac4e92c942",
  "raw_customers": "0cb13d45c326feafe71dde2a504efb9d66fcc614b8e33e4f4c6590cacd3b8240",
  "raw_order_lines": "317d9faaaf74976394be7e09c1be3e4c1e6f08fef42856f99ab54c702e7abad7",
  "raw_orders": "00d324540f87f698fd67bbd0c3a0a699f5e7bad0119b4e6d2172453c156326f8",
  "raw_payments": "d27837adbc9e91d5b816057e9365df352825920176324234bdc3ff70e7c57288",
  "raw_products": "0ec2114b31ca33bfd3bf809f978d3e55ad058abff205a101acbe6b78c759b339",
  "reconciliation": "359de206abbbb5d1bc0dac761846846c0ce9f538a84697e2034e7bf4f24015cb",
  "reporting_customer_stats": "382770743a4123c9c719d4a46dcbba55f57eaac013f04adf3f60275cb08e2bc3",
  "reporting_sales_wide": "e4961c16a962a91cf24d55102028ab445ca4e3eaaa664914b79beb91cd2c5fc7",
  "sales_summary_daily": "9f02423e32cdb28fb8d45649199abb274e0361fc252d343bd90bc72b71291c05"
 },
 "contract": "017d64722d254512e0f05ad5564836ab7146530c3d97af33ed97f55cdd843895",
 "lock": "75d38a026931dca9a6317715b73aba693f492f7f24d60bd2ea76d3dd89b42373",
 "versions": {
  "python": "3.11.7",
  "sqlite": "3.40.1",
  "adbc-driver-sqlite": "1.13.0",
  "duckdb": "2.0.0",
  "great-expectations": "1.24.1",
  "nbclient": "0.11.0",
  "pandas": "3.1.1",
  "papermill": "2.7.0",
  "pyarrow": "26.0.1"
 },
 "watermarks_before": {
  "dimensions": [
   "2026-01-02 06:00:00.000000",
   "20260102T060000.000000"
  ],
  "facts": [
   "2026-01-02 06:00:00.000000",
   "20260102T060000.000000"
  ],
  "gold": [
   "2026-01-02 06:00:00.000001",
   "20260102T060000.000000"
  ],
  "raw": [
   "2026-01-02 06:00:00.000000",
   "20260102T060000.000000"
  ]
 },
 "steps": {
  "raw": {
   "status": "SUCCESS",
   "has_run": false,
   "is_full": false,
   "error": null
  },
  "dimensions": {
   "status": "SUCCESS",
   "has_run": true,
   "is_full": true,
   "error": null
  },
  "facts": {
   "status": "SUCCESS",
   "has_run": true,
   "is_full": true,
   "error": null
  },
  "gold": {
   "status": "SUCCESS",
   "has_run": true,
   "is_full": true,
   "error": null
  }
 },
 "deliveries": [],
 "watermarks_after": {
  "dimensions": [
   "2026-01-02 06:00:00.000000",
   "20260102T060000.000000"
  ],
  "facts": [
   "2026-01-02 06:00:00.000000",
   "20260102T060000.000000"
  ],
  "gold": [
   "2026-01-03 06:00:00.000001",
   "20260103T060000.000000"
  ],
  "raw": [
   "2026-01-02 06:00:00.000000",
   "20260102T060000.000000"
  ]
 },
 "digests": {
  "raw": {
   "customers": "2dcc4db80d19478d63bca821ae29ac35",
   "order_lines": "0c5a0060d440564e5aa9f5f693033af1",
   "orders": "fbee83a5553ba535babea11775d651c5",
   "payments": "74d7f3553b72dd608002ce9bc4172d89",
   "products": "9adbbad5348eca8603bb06e1a07e8442"
  },
  "curated": {
   "dim_customers": "5bc32f081262e441af829d0a9dd7eb5a",
   "dim_products": "442866c071e3824eac1400adb6822a30",
   "fact_order_lines": "c694604fbb07d9f1dcc03ad954437049",
   "fact_orders": "42723335330cf6979e0ebd208866bbc5",
   "fact_payments": "9fc91ab16601e5024e7e6b1ea4703e12"
  },
  "gold": {
   "reporting_customer_stats": "bcae94bbe07939efb797e46c908f1b84",
   "reporting_sales_wide": "00b42b49d74fc014ea8e9f8f5863a477",
   "sales_summary_daily": "cd182eda623fc32b7ad5e20b7f9951dc"
  }
 },
 "unreadable": {},
 "executed": {
  "2_dimensions.ipynb": "5d717f3bd2190ca467b1f30cd1385076c4d035c310b8a1b50aa32b58aed85629",
  "3_facts.ipynb": "2d133d3dfacd7577f070d34fdb4ef941cd3407e68f0354aa1e82ae3e7e7aee84",
  "4_gold.ipynb": "e4730759b45f3321fb5554c3e6bb5aacafdabc85b8f4b4f401d5be3e0ce25f11"
 },
 "previous_manifest_sha256": "b017c6c26bd5d19094da14796cec0a0f4fd710a603a19d9d61d80aff3f5c0840",
 "log_rows_to": 16,
 "log_rows_sha256": "55ed594432eda02f5ccaadb098162b369992ebbb817d4e74a149e9471a754647"
}','019a5c5bfa148ce05301ccabbedfdbb93b9716706efbd5140930873a5fc5f09c');
INSERT INTO "pipeline_manifest" VALUES(5,'20260104T060000.000000',NULL,'{
 "batch_id": "20260104T060000.000000",
 "now": "2026-01-04 06:00:00.000000",
 "started": "2026-11-26 09:56:18.242581",
 "parameters": {
  "full_refresh": false,
  "steps": [
   "raw",
   "dimensions",
   "facts",
   "gold"
  ],
  "snapshot": [],
  "snapshot_limit": 0.2,
  "quarantine_limit": 0.1
 },
 "engine": "sqlite",
 "git": {
  "commit": "d5eccd7086a9961058695a9996ddfa6231ebc701",
  "is_clean": false
 },
 "lib": "3df8c994f4c69c1e865bd3705de06c3b24fa0da05832c0cc02c262895f82c2d9",
 "notebooks": {
  "1_raw.ipynb": "fe60e27c5d6ccd2c8b66d2cf2a176acaa85548113197f4ca76dd2e4357e5fd80",
  "2_dimensions.ipynb": "9b0bbcf2bf7df8d36fb5c17c78615d2708318d6e1df69c444ecd8629a3f12bc9",
  "3_facts.ipynb": "7ba83f3c0a697d59fb5f27e92f43728a8a244ce8f4e975369d6d9f75694665e4",
  "4_gold.ipynb": "b03c92ade0070e2f4c5dd897e1ee6a146bad3287c85437c71677ba60022db62a"
 },
 "suites": {
  "dim_customers": "dacd4efc7f8eabe0916350f5d98aff35660c88aa1ec97feb11da689f193b3b14",
  "dim_products": "47be5d5b00daa351d6e7a1307f3c2484f7912c64aaba665dc25a08896f9af884",
  "fact_order_lines": "589272d515e440d6a8bc88e8f836b440321a40fd7ac0f5fec28faad683423efe",
  "fact_orders": "c3c2068acbd3c4b2ffcd9ef3e5862d6edf894c0c839e209c9f19fc54430ace8a",
  "fact_payments": "e9b8c0a15e56b8caa58b9659f7818adec1a0197e97319490fca71c6265512b0b",
  "orphans": "27d3d534582a776508e71f4b98f2bf3d8de8ef68f4b74f6ce2447fac4e92c942",
  "raw_customers": "0cb13d45c326feafe71dde2a504efb9d66fcc614b8e33e4f4c6590cacd3b8240",
  "raw_order_lines": "317d9faaaf74976394be7e09c1be3e4c1e6f08fef42856f99ab54c702e7abad7",
  "raw_orders": "00d324540f87f698fd67bbd0c3a0a699f5e7bad0119b4e6d2172453c156326f8",
  "raw_payments": "d27837adbc9e91d5b816057e9365df352825920176324234bdc3ff70e7c57288",
  "raw_products": "0ec2114b31ca33bfd3bf809f978d3e55ad058abff205a101acbe6b78c759b339",
  "reconciliation": "359de206abbbb5d1bc0dac761846846c0ce9f538a84697e2034e7bf4f24015cb",
  "reporting_customer_stats": "382770743a4123c9c719d4a46dcbba55f57eaac013f04adf3f60275cb08e2bc3",
  "reporting_sales_wide": "e4961c16a962a91cf24d55102028ab445ca4e3eaaa664914b79beb91cd2c5fc7",
  "sales_summary_daily": "9f02423e32cdb28fb8d45649199abb274e0361fc252d343bd90bc72b71291c05"
 },
 "contract": "017d64722d254512e0f05ad5564836ab7146530c3d97af33ed97f55cdd843895",
 "lock": "75d38a026931dca9a6317715b73aba693f492f7f24d60bd2ea76d3dd89b42373",
 "versions": {
  "python": "3.11.7",
  "sqlite": "3.40.1",
  "adbc-driver-sqlite": "1.13.0",
  "duckdb": "2.0.0",
  "great-expectations": "1.24.1",
  "nbclient": "0.11.0",
  "pandas": "3.1.1",
  "papermill": "2.7.0",
  "pyarrow": "26.0.1"
 },
 "watermarks_before": {
  "dimensions": [
   "2026-01-02 06:00:00.000000",
   "20260102T060000.000000"
  ],
  "facts": [
   "2026-01-02 06:00:00.000000",
   "20260102T060000.000000"
  ],
  "gold": [
   "2026-01-03 06:00:00.000001",
   "20260103T060000.000000"
  ],
  "raw": [
   "2026-01-02 06:00:00.000000",
   "20260102T060000.000000"
  ]
 },
 "steps": {
  "raw": {
   "status": "SUCCESS",
   "has_run": true,
   "is_full": false,
   "error": null
  },
  "dimensions": {
   "status": "SUCCESS",
   "has_run": false,
   "is_full": false,
   "error": null
  },
  "facts": {
   "status": "SUCCESS",
   "has_run": true,
   "is_full": false,
   "error": null
  },
  "gold": {
   "status": "SUCCESS",
   "has_run": true,
   "is_full": false,
   "error": null
  }
 },
 "deliveries": [
  {
   "name": "orders_2025-12-31.csv",
   "source": "orders",
   "bytes": 463,
   "sha256": "85b58aa5595473d48f19fb976ad5b4e30d1e51bd9bb8f211ad954cfe62d9b860",
   "rows": 8,
   "is_snapshot": 0
  },
  {
   "name": "payments_2026-01-03.csv",
   "source": "payments",
   "bytes": 135,
   "sha256": "1bd811cc38aa4c8505cddfff5a1d894d18bc3f968f6edb6689d6b3b62861ecf9",
   "rows": 1,
   "is_snapshot": 0
  }
 ],
 "watermarks_after": {
  "dimensions": [
   "2026-01-02 06:00:00.000000",
   "20260102T060000.000000"
  ],
  "facts": [
   "2026-01-04 06:00:00.000000",
   "20260104T060000.000000"
  ],
  "gold": [
   "2026-01-04 06:00:00.000000",
   "20260104T060000.000000"
  ],
  "raw": [
   "2026-01-04 06:00:00.000000",
   "20260104T060000.000000"
  ]
 },
 "digests": {
  "raw": {
   "customers": "2dcc4db80d19478d63bca821ae29ac35",
   "order_lines": "0c5a0060d440564e5aa9f5f693033af1",
   "orders": "f2a2a16223e51435999ccab1555c4226",
   "payments": "6b138d47719c4853ae22e4dbefbce22c",
   "products": "9adbbad5348eca8603bb06e1a07e8442"
  },
  "curated": {
   "dim_customers": "5bc32f081262e441af829d0a9dd7eb5a",
   "dim_products": "442866c071e3824eac1400adb6822a30",
   "fact_order_lines": "c694604fbb07d9f1dcc03ad954437049",
   "fact_orders": "e052bef9b5f9c518730f570119cc9de8",
   "fact_payments": "527e301bf5543533cf82c50681082780"
  },
  "gold": {
   "reporting_customer_stats": "03c8784d025a178256ae71182d0be7b9",
   "reporting_sales_wide": "9b55d3464e3e66f93e306666aa7bbab3",
   "sales_summary_daily": "dba245ccdfe80959ea59584cc38c5d67"
  }
 },
 "unreadable": {},
 "executed": {
  "1_raw.ipynb": "ca0c7959c715378010dd6286e2aa5cb04b728da4c73ae518634f36458cb99f2a",
  "3_facts.ipynb": "ecb0c2b9a5ee866f6319ffae882fc5ea2fdf57b2df99385f2c8aba5ca2dac082",
  "4_gold.ipynb": "cfafb290d3d4d0b08f575a775eb8d9573afec8e1a497fe52531d9fd16e6d13ce"
 },
 "previous_manifest_sha256": "019a5c5bfa148ce05301ccabbedfdbb93b9716706efbd5140930873a5fc5f09c",
 "log_rows_to": 20,
 "log_rows_sha256": "595d181e49d9218ed5a1ebeaa7ed5264572c65a622db404324b4bd187c7888ea"
}','4b487c07b5de2083e117c4fc11297e071cd243b5937c9f1f98537e4f6e6ec29e');
CREATE TABLE pipeline_watermark (
    process_name text primary key,
    last_processed_timestamp text not null,
    last_batch_id text not null
) strict;
INSERT INTO "pipeline_watermark" VALUES('raw','2026-01-04 06:00:00.000000','20260104T060000.000000');
INSERT INTO "pipeline_watermark" VALUES('dimensions','2026-01-02 06:00:00.000000','20260102T060000.000000');
INSERT INTO "pipeline_watermark" VALUES('facts','2026-01-04 06:00:00.000000','20260104T060000.000000');
INSERT INTO "pipeline_watermark" VALUES('gold','2026-01-04 06:00:00.000000','20260104T060000.000000');
CREATE INDEX pipeline_execution_log_batch on pipeline_execution_log (batch_id);
CREATE INDEX pipeline_execution_log_rules on pipeline_execution_log (process_name) where rules is not null;
CREATE TRIGGER pipeline_manifest_no_delete before delete on pipeline_manifest
begin select raise(abort, 'pipeline_manifest is append only'); end;
CREATE TRIGGER pipeline_manifest_final before update on pipeline_manifest
when old.manifest is not null or new.manifest is null or new.batch_id <> old.batch_id
begin select raise(abort, 'pipeline_manifest is append only: a manifest is completed once'); end;
CREATE TRIGGER pipeline_execution_log_no_delete before delete on pipeline_execution_log
begin select raise(abort, 'pipeline_execution_log is append only'); end;
CREATE TRIGGER pipeline_execution_log_final before update on pipeline_execution_log
when old.status <> 'RUNNING' or new.status = 'RUNNING'
    or new.execution_id <> old.execution_id or new.batch_id <> old.batch_id or new.process_name <> old.process_name
    or new.layer <> old.layer or new.start_time <> old.start_time
begin select raise(abort, 'pipeline_execution_log is append only: a RUNNING row may become final once'); end;
COMMIT;
