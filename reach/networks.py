"""Which networks are looked at, and which are left out and why. Only names; imports no library."""

from __future__ import annotations

__all__ = ["TIMM", "TIMM_LEFT_OUT", "TORCHVISION_LEFT_OUT", "timm_families"]

# By module of timm the smallest network of each family that the module holds, by number of parameters.
# Networks that mix convolutions and attention are here as long as they have convolutional stages.
TIMM: dict[str, tuple[str, ...]] = {
    "byoanet": (
        "botnet26t_256", "eca_botnext26ts_256", "eca_halonext26ts", "halo2botnet50ts_256", "halonet_h1",
        "haloregnetz_b", "lambda_resnet26t", "lamhalobotnet50ts_256", "sebotnet33ts_256", "sehalonet33ts",
    ),
    "byobnet": (
        "bat_resnext26ts", "eca_resnet33ts", "eca_resnext26ts", "gcresnet33ts", "gcresnext26ts", "gernet_s",
        "mobileone_s0", "regnetz_b16", "repvgg_a0", "resnet32ts", "resnext26ts", "seresnet33ts", "seresnext26ts",
    ),
    "convmixer": ("convmixer_768_32",),
    "convnext": ("convnext_zepto_rms", "convnext_atto", "convnextv2_atto"),
    "cpubone": ("cpubone_nano",),
    "csatv2": ("csatv2",),
    "cspnet": (
        "cs3darknet_focus_s", "cspdarknet53", "cspresnet50", "cspresnext50", "darknet17", "darknetaa53", "sedarknet21",
    ),
    "cspnext": ("cspnext_tiny",),
    "densenet": ("densenet121", "densenetblur121d"),
    "dla": ("dla46x_c",),
    "dpn": ("dpn48b",),
    "edgenext": ("edgenext_xx_small",),
    "efficientformer": ("efficientformer_l1",),
    "efficientformer_v2": ("efficientformerv2_s0",),
    "efficientnet": (
        "efficientnet_lite0", "efficientnet_b0", "efficientnetv2_rw_t", "fbnetc_100", "gc_efficientnetv2_rw_t",
        "mixnet_s", "mnasnet_small", "mobilenet_edgetpu_100", "mobilenetv1_100", "mobilenetv2_035",
        "mobilenetv4_conv_small_035", "semnasnet_050", "spnasnet_100", "tf_efficientnet_lite0",
        "tf_efficientnetv2_b0", "tf_mixnet_s", "tinynet_e",
    ),
    "efficientvit_mit": ("efficientvit_b0",),
    "efficientvit_msra": ("efficientvit_m0",),
    "fasternet": ("fasternet_t0",),
    "fastvit": ("fastvit_t8",),
    "ghostnet": ("ghostnet_050", "ghostnetv2_100", "ghostnetv3_050"),
    "hardcorenas": ("hardcorenas_b",),
    "hgnet": ("hgnet_tiny", "hgnetv2_b0"),
    "hrnet": ("hrnet_w18_small",),
    "iformer": ("iformer_t",),
    "inception_next": ("inception_next_atto",),
    "inception_resnet_v2": ("inception_resnet_v2",),
    "inception_v3": ("inception_v3",),
    "inception_v4": ("inception_v4",),
    "lcnetv2": ("lcnetv2_small",),
    "lowformer": ("lowformer_b0",),
    "mambaout": ("mambaout_femto",),
    "maxxvit": (
        "coatnet_pico_rw_224", "coatnext_nano_rw_224", "maxvit_pico_rw_256", "maxxvit_rmlp_nano_rw_256",
        "maxxvitv2_nano_rw_256",
    ),
    "metaformer": ("caformer_s18", "convformer_s18", "poolformer_s12", "poolformerv2_s12"),
    "mobilenetv3": ("fbnetv3_b", "lcnet_035", "mobilenetv3_small_050", "tf_mobilenetv3_small_075"),
    "mobilenetv5": ("mobilenetv5_base",),
    "mobilevit": ("mobilevit_xxs", "mobilevitv2_050"),
    "nasnet": ("nasnetalarge",),
    "nextvit": ("nextvit_small",),
    "nfnet": (
        "dm_nfnet_f0", "eca_nfnet_l0", "nf_ecaresnet26", "nf_regnet_b0", "nf_resnet26", "nf_seresnet26", "nfnet_l0",
    ),
    "pnasnet": ("pnasnet5large",),
    "rdnet": ("rdnet_tiny",),
    "regnet": ("regnetv_040", "regnetx_002", "regnety_002", "regnetz_005"),
    "repghost": ("repghostnet_050",),
    "repvit": ("repvit_m1",),
    "res2net": ("res2net50_26w_4s", "res2next50"),
    "resnest": ("resnest14d",),
    "resnet": (
        "ecaresnet26t", "ecaresnetlight", "ecaresnext26t_32x4d", "resnet10t", "resnet18", "resnetaa34d", "resnetblur18",
        "resnetrs50", "resnext50_32x4d", "senet154", "seresnet18", "seresnetaa50d", "seresnext26t_32x4d",
        "seresnextaa101d_32x8d", "wide_resnet50_2",
    ),
    "resnetv2": ("resnetv2_18", "resnetv2_50x1_bit"),
    "rexnet": ("rexnet_100", "rexnetr_100"),
    "selecsls": ("selecsls42",),
    "senet": ("legacy_senet154", "legacy_seresnet18", "legacy_seresnext26_32x4d"),
    "shvit": ("shvit_s1",),
    "sknet": ("skresnet18", "skresnext50_32x4d"),
    "starnet": ("starnet_s050",),
    "swiftformer": ("swiftformer_xs",),
    "tresnet": ("tresnet_m",),
    "vgg": ("vgg11", "vgg11_bn"),
    "visformer": ("visformer_tiny",),
    "vitamin": ("vitamin_small_224",),
    "vovnet": ("eca_vovnet39b", "ese_vovnet19b_slim_dw", "vovnet39a"),
    "xception": ("legacy_xception",),
    "xception_aligned": ("xception41p", "xception41"),
}  # fmt: skip

_TOKENS = "a transformer: attention over patches, no convolutional stages"
_MIXED = "a hierarchical transformer: convolutions only embed or shrink patches between its stages of attention"

TIMM_LEFT_OUT: dict[str, str] = {
    **dict.fromkeys(
        (
            "beit", "cait", "convit", "crossvit", "deepseek_vit", "deit", "eva", "gemma4_vit", "naflexvit",
            "qwen3_vit", "tnt", "vision_transformer", "vision_transformer_relpos", "vision_transformer_sam", "xcit",
        ),
        _TOKENS,
    ),
    **dict.fromkeys(
        (
            "coat", "davit", "focalnet", "gcvit", "hiera", "hieradet_sam2", "levit", "mvitv2", "nest", "pit",
            "pvt_v2", "swin_transformer", "swin_transformer_v2", "swin_transformer_v2_cr", "tiny_vit", "twins", "volo",
        ),
        _MIXED,
    ),
    "efficientvim": "a state-space network: convolutions only shrink its stages of tokens",
    "mlp_mixer": "perceptrons over patches, no convolutional stages",
    "sequencer": "recurrent layers over patches, no convolutional stages",
    "vision_transformer_hybrid": "a transformer; its convolutional stem is a ResNet, which is looked at by itself",
}  # fmt: skip

TORCHVISION_LEFT_OUT: dict[str, str] = {"vit_": _TOKENS, "swin_": _MIXED}


def timm_families() -> list[tuple[str, str]]:
    """Return (module of timm, network) for every network that is looked at."""
    return [(module, name) for module, names in TIMM.items() for name in names]
