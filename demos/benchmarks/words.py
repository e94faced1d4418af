"""Translate the benchmark's tables into Chinese: their titles, and the phrases in their headings and cells.

Units, code and the names of libraries are the same in both languages. JSON is English, since programs read it.
"""

import re

TITLES = {
    "moons": "双月形演示的一个训练步",
    "digits": "手写数字演示的一个训练步",
    "attention": "只用运算符写成的注意力模型，一个训练步",
    "collector": "垃圾回收器在一个训练步里花去的时间",
    "operation": "一次运算",
    "peak": "占处理器峰值的比例，单线程",
    "bytes": "每次运算所占的字节数，计算图有 100,000 次运算",
    "chain": "连乘的链，每个节点",
    "inputs": "有 n 个输入的 Rosenbrock 函数的导数",
    "orders": "一点处的高阶导数",
    "sparse": "稀疏的雅可比矩阵和黑塞矩阵",
    "networks": "梯度下降的一步，合页损失",
    "microgpt": "microgpt 的训练步，以及作为一条命令运行一千步",
    "recurrent": "循环神经网络，求梯度",
    "functions": "对向量计算的函数，编译后",
    "threads": "MLP(8, [32, 32, 1])，100,000 个样本",
    "first": "到第二步之前",
    "compile": "编译一张计算图",
    "checks": "手写反向传播中的错误，各检验工具找出多少",
    "import": "导入，启动解释器之外的时间",
}
# A phrase is one or several whole words. A longer phrase is looked for before a shorter one that it contains.
PHRASES = {
    "numpy, backward pass by hand": "numpy，手写反向传播",
    "micrograd.nn over micrograd_cn.Value": "micrograd.nn，用 micrograd_cn.Value",
    "PyTorch eager": "PyTorch 动态图",
    "micrograd_cn compiled, backward() and SGD.step()": "micrograd_cn 编译后，backward() 与 SGD.step()",
    "micrograd_cn compiled, fit()": "micrograd_cn 编译后，fit()",
    "micrograd_cn compiled": "micrograd_cn 编译后",
    "tuple Value": "元组 Value",
    "CasADi, virtual machine": "CasADi，虚拟机",
    "CasADi, its C by cc -O2": "CasADi，它的 C 经 cc -O2",
    "jax.jit, dense": "jax.jit，稠密",
    "SymPy lambdify": "SymPy lambdify",
    "contender": "对比项",
    "checker": "检验工具",
    "mistakes": "错误数",
    "found": "找出",
    "right": "正确的",
    "accused": "误报",
    "right ms": "正确的 ms",
    "wrong ms": "错误的 ms",
    "loss of step 5": "第 5 步的损失",
    "/ this": "/ 本行",
    "this /": "本行 /",
    "/ ours": "/ 本库",
    "ours /": "本库 /",
    "ours": "本库",
    "no gc": "关闭回收",
    "step": "训练步",
    "operation": "运算",
    "work": "任务",
    "peak": "峰值",
    "share": "比例",
    "of the peak": "占峰值",
    "nodes": "节点数",
    "bytes": "字节",
    "forward": "前向",
    "multiply and add": "乘加",
    "backward": "反向",
    "free": "释放",
    "inputs": "输入数",
    "function": "函数",
    "gradient": "梯度",
    "Hessian": "黑塞矩阵",
    "(n gradients)": "(n 个梯度)",
    "graph": "计算图",
    "us a node": "us 每节点",
    "us a name": "us 每个名字",
    "us an evaluation": "us 每次求值",
    "module": "模块",
    "interpreter": "解释器",
    "with import": "含导入",
    "import": "导入",
    "network, rows": "网络, 样本数",
    "network": "网络",
    "one thread": "一个线程",
    "two threads": "两个线程",
    "times": "倍数",
    "record": "记录",
    "compile, first step": "编译和第一步",
    "together": "合计",
    "problem": "问题",
    "entries": "元素个数",
    "prepared": "准备",
    "batch": "批量",
    "1,000 steps": "1,000 步",
    "tanh units": "个 tanh 单元",
    "steps": "步",
    "rows": "个样本",
    "valleys": "山谷",
    "chemistry": "化学反应",
    "places": "处",
    "place": "处",
    "bundle": "相机与点",
    "observations": "个观测",
    "control": "最优控制",
    "variables": "个变量",
    "cross entropy": "交叉熵",
    "moons": "双月形",
    "attention": "注意力",
    "python": "Python",
    "platform": "平台",
    "processor": "处理器",
    "compiled for": "编译目标",
    "not installed": "未安装",
    "nothing, without llvmlite": "无，没有 llvmlite",
    "vectors of": "向量长",
    "doubles": "个双精度数",
}
_FOUND = re.compile(
    "|".join(
        ("(?<![\\w.(])" if phrase[0].isalpha() else "")
        + re.escape(phrase)
        + ("(?![\\w(=])" if phrase[-1].isalpha() else "")
        for phrase in sorted(PHRASES, key=len, reverse=True)
    )
)


def chinese(words: str) -> str:
    """Return a heading or a cell of a table in Chinese."""
    order = re.fullmatch(r"order (\d) ms", words)
    return f"{order[1]} 阶 ms" if order else _FOUND.sub(lambda found: PHRASES[found[0]], words)
