"""The texts of the lessons.

The lesson `dead`, for example, has its title in `lesson_dead` and the text of its card in `lesson_dead_about`. Its
captions are `lesson_dead_1`, `lesson_dead_2` and so on. One caption asks a question, and the answers to choose from are
`lesson_dead_choice_1` and so on.
"""

LESSONS = {
    "en": {
        "lessons": "Lessons",
        "lessons_title": "Lessons",
        "lessons_about": "Each lesson sets something up, asks you for one prediction, and shows what happens. When you "
        "close it, your own page comes back.",
        "lessons_none": "Close",
        "lesson_back": "Back",
        "lesson_next": "Next",
        "lesson_following": "Next lesson: {title}",
        "lesson_all": "All lessons",
        "lesson_seen": "seen",
        "lesson_close": "Close",
        "lesson_right": "Right! Next shows why.",
        "lesson_wrong": "Not this one. Next shows why.",
        "lesson_adding": "Gradients add up",
        "lesson_adding_about": "What happens to a number that is used twice?",
        "lesson_adding_1": "The number a has two ways into the result of a·b + a: through the product, and directly. "
        "The forward pass is done, so every box has its data. None has a gradient yet. The gradient of a number says "
        "how fast the result grows when this number grows a little.",
        "lesson_adding_2": "On each way back, a receives a contribution. Through the product the local derivative is b "
        "= 3, and on the direct way it is 1. What will the gradient of a be?",
        "lesson_adding_choice_1": "3, the larger one",
        "lesson_adding_choice_2": "1, the one that arrives last",
        "lesson_adding_choice_3": "4, their sum",
        "lesson_adding_3": "Both contributions arrive at a, and they are added: 3 + 1 = 4. If a grows by a little, the "
        "result grows by four times as much, because a acts on it in both ways at once.",
        "lesson_adding_4": "Try it: here a is used three times, in a·a·a. Work out its gradient at a = 2, then press "
        "End. Drag a beside its number to change it.",
        "lesson_dead": "A dead ReLU",
        "lesson_dead_about": "Why a neuron may stop learning altogether.",
        "lesson_dead_1": "Here is a neuron with one input: w·x + b is 1·2 − 3 = −1, and relu turns negative numbers "
        "into 0.",
        "lesson_dead_2": "Backward, relu multiplies what comes from the result by its local derivative. Which "
        "gradient does w get?",
        "lesson_dead_choice_1": "2, the input x",
        "lesson_dead_choice_2": "0",
        "lesson_dead_choice_3": "−1, the sum",
        "lesson_dead_3": "It is 0. Below 0 relu is flat, so its local derivative is 0, and so is every product with "
        "it. Neither w nor b learns that it should move. If this is so at every sample, the neuron is dead.",
        "lesson_dead_4": "Try it: drag b beside its number to the right. At which b does a gradient come back "
        "to w, and how large is it then?",
        "lesson_vanishing": "Vanishing and exploding",
        "lesson_vanishing_about": "What a long chain of products does to a gradient.",
        "lesson_vanishing_1": "Here are ten tanh, one inside the other, as in ten layers. Each squeezes a number into "
        "−1 … 1, and each has a local derivative between 0 and 1.",
        "lesson_vanishing_2": "From the innermost tanh to the outermost, the local derivatives are 0.18, 0.48, 0.62, "
        "0.70, 0.75, 0.79, 0.81, 0.83, 0.85 and 0.86. The gradient of x is their product, times w = 1.5. About how "
        "large will it be?",
        "lesson_vanishing_choice_1": "about 1",
        "lesson_vanishing_choice_2": "about 0.2",
        "lesson_vanishing_choice_3": "about 0.02",
        "lesson_vanishing_3": "It is 0.0168. Each tanh, from right to left, has made the gradient smaller; after fifty "
        "it would be 0.0017. With a weight of 0.5 before each of the fifty, it would be 0.0000000000000007, and the "
        "first layers would not learn. That is a vanishing gradient.",
        "lesson_vanishing_4": "Here is the opposite: eight factors w = 3, and each triples what comes back. The "
        "gradient of x is 3⁸ = 6,561, and that of w is 8·3⁷ = 17,496, or 1.75×10⁴. This is an exploding gradient.",
        "lesson_vanishing_5": "Try it: with w = 1 the gradient of x is exactly 1. Drag w beside its number "
        "a little to either side. How far may it move before the gradient of x is above 10, or below 0.1?",
        "lesson_saturated": "A saturated tanh",
        "lesson_saturated_about": "A neuron that is too sure of itself.",
        "lesson_saturated_1": "Here is a neuron with large weights: w·x + b is 9, and tanh(9) is almost exactly 1. The "
        "neuron is saturated.",
        "lesson_saturated_2": "Which gradient does the weight w get from the result?",
        "lesson_saturated_choice_1": "about 2, the input x",
        "lesson_saturated_choice_2": "about 1, since tanh is 1",
        "lesson_saturated_choice_3": "as good as 0",
        "lesson_saturated_3": "It is 0.00000012. The curve of tanh is almost flat at 9, so its local derivative, 1 − "
        "tanh², is 0.00000006. Even if the neuron is quite wrong, it can hardly learn that. This is why weights begin "
        "small.",
        "lesson_saturated_4": "Try it: drag w beside its number down to 0, and see the gradient of w wake "
        "up. For which w is it the largest?",
        "lesson_neuron": "What one neuron sees",
        "lesson_neuron_about": "How straight lines become a round border.",
        "lesson_neuron_1": "The network should learn to tell the inner points from the outer ones. It has three "
        "neurons between input and output. Each small square will show its neuron's output at every point of the "
        "plane.",
        "lesson_neuron_2": "Each of the three computes tanh(w₁·x₁ + w₂·x₂ + b). What is the border between its blue "
        "and its orange?",
        "lesson_neuron_choice_1": "a straight line",
        "lesson_neuron_choice_2": "a circle",
        "lesson_neuron_choice_3": "any curve",
        "lesson_neuron_3": "A straight line: the border is where w₁·x₁ + w₂·x₂ + b is 0. The weights turn the line, "
        "and b shifts it. The large picture belongs to the first neuron.",
        "lesson_neuron_4": "Now it learns: the three lines move until they form a triangle around the inner points, "
        "and the output neuron adds them up. Point at a neuron to enlarge its picture.",
        "lesson_neuron_5": "Try it: here are only two neurons. Press Play: can two lines fence the points in? Then "
        "change the hidden layers: what shape do eight lines give?",
        "lesson_xor": "Exclusive or needs a hidden layer",
        "lesson_xor_about": "No single line divides the four corners.",
        "lesson_xor_1": "Opposite corners have the same colour: that is exclusive or. There is one hidden neuron, so "
        "the network can only draw one straight line.",
        "lesson_xor_2": "How many of the points can it get right at best?",
        "lesson_xor_choice_1": "half of them",
        "lesson_xor_choice_2": "about three quarters",
        "lesson_xor_choice_3": "all of them",
        "lesson_xor_3": "About three quarters. The best line cuts off one corner, and then one of the other three is "
        "always on the wrong side. Training does not even find that line: it settles at about two thirds.",
        "lesson_xor_4": "With four hidden neurons it can: each draws a line of its own, and the output neuron "
        "combines them. Watch the share of right answers.",
        "lesson_xor_5": "Try it: here are three neurons. In 60 runs with other seeds, 8 got every point right; with "
        "four neurons 55 did, and with two neurons none. Press Play, and try other seeds, which are under More.",
        "lesson_attention": "What attention attends to",
        "lesson_attention_about": "How a small language model looks back at letters to guess the next.",
        "lesson_attention_1": "This model spells names, letter by letter. Each letter is a token, and so is •, which "
        "marks the beginning and the end. Below are the chances of each next token, the likeliest first. The model has "
        "learned nothing yet, so it guesses, and no token is far ahead.",
        "lesson_attention_2": "To guess, the model looks back at the tokens so far. It has four readers, called heads. "
        "Each head divides its attention among the tokens, 100 % in all. How does a head divide it before any "
        "training?",
        "lesson_attention_choice_1": "all of it to the last letter",
        "lesson_attention_choice_2": "about equally",
        "lesson_attention_choice_3": "all of it to the first one",
        "lesson_attention_3": "About equally, because all numbers in the model are still small. Now it learns from "
        "4,000 names: watch the shares of the four heads drift apart, and the chances of the next letter with them.",
        "lesson_attention_4": "Here is the largest share, opened. Follow the lines: the last token asks with "
        "four numbers, its query, and every token answers with four, its key. Query and key, multiplied and added up, "
        "give the fit of a token.",
        "lesson_attention_5": "Half of the fit is the score, and exp turns the scores into shares of 100 %. By its "
        "shares, a head mixes what the tokens tell, and the model guesses the next token from what all heads have "
        "read. A click opens a grey box; Step begins the backward pass.",
        "lesson_attention_6": "Try it: type other beginnings, choose an earlier token, and find a head that looks "
        "mostly at the letter before, or at the beginning. Then click its share.",
    },
    "zh": {
        "lessons": "小课",
        "lessons_title": "小课",
        "lessons_about": "每一课先搭好场景，请你预测一次，再演示结果。关闭小课后，页面会恢复成你原来的样子。",
        "lessons_none": "关闭",
        "lesson_back": "上一页",
        "lesson_next": "下一页",
        "lesson_following": "下一课：{title}",
        "lesson_all": "全部小课",
        "lesson_seen": "已看过",
        "lesson_close": "关闭",
        "lesson_right": "答对了！下一页说明原因。",
        "lesson_wrong": "不对。原因见下一页。",
        "lesson_adding": "梯度要累加",
        "lesson_adding_about": "一个数用了两次，会怎样？",
        "lesson_adding_1": "在 a·b + a 中，a 有两条路通向结果：一条经过乘积，一条直接相加。前向传播已经完成：每个方框"
        "都有了数值，但都还没有梯度。一个数的梯度，就是它增加一点点时结果变化的快慢。",
        "lesson_adding_2": "反向传播时，每条路都会给 a 送来一项贡献：经过乘积的局部导数是 b = 3，直接相加的是 1。a 的"
        "梯度会是多少？",
        "lesson_adding_choice_1": "3，取较大的",
        "lesson_adding_choice_2": "1，取最后到的",
        "lesson_adding_choice_3": "4，两项之和",
        "lesson_adding_3": "两项贡献都到达 a，并且相加：3 + 1 = 4。a 增加一点点，结果就增加它的四倍，因为两条路上同时"
        "在增加。",
        "lesson_adding_4": "试一试：这里的 a·a·a 用了三次 a。先算出 a = 2 时的梯度，再点“结尾”核对。拖动数字旁的 "
        "a 可以改变它的值。",
        "lesson_dead": "“死掉”的 ReLU",
        "lesson_dead_about": "神经元为什么会完全停止学习。",
        "lesson_dead_1": "只有一个输入的神经元：w·x + b = 1·2 − 3 = −1，而 relu 把负数都变成 0。",
        "lesson_dead_2": "反向传播时，relu 用自己的局部导数去乘上游梯度。w 会得到多大的梯度？",
        "lesson_dead_choice_1": "2，即输入 x",
        "lesson_dead_choice_2": "0",
        "lesson_dead_choice_3": "−1，即那个和",
        "lesson_dead_3": "是 0：relu 在负数一侧是平的，局部导数为 0，与它相乘的一切也都是 0。w 和 b 都不知道自己该怎"
        "么动。如果在每个样本上都这样，这个神经元就“死掉”了。",
        "lesson_dead_4": "试一试：向右拖动数字旁的 b。b 到多大时，w 重新得到梯度？那时梯度是多少？",
        "lesson_vanishing": "梯度消失与梯度爆炸",
        "lesson_vanishing_about": "一长串相乘会把梯度变成什么样。",
        "lesson_vanishing_1": "十个 tanh 一个套一个，好比十层的网络。tanh 把任何数压到 −1 和 1 之间，它的局部导数在 0 "
        "和 1 之间。",
        "lesson_vanishing_2": "从最里面到最外面，这十个局部导数依次是 0.18、0.48、0.62、0.70、0.75、0.79、0.81、0.83、"
        "0.85、0.86。x 的梯度等于它们的乘积，再乘以 w = 1.5。它大约是多少？",
        "lesson_vanishing_choice_1": "约 1",
        "lesson_vanishing_choice_2": "约 0.2",
        "lesson_vanishing_choice_3": "约 0.02",
        "lesson_vanishing_3": "是 0.0168。从右往左，每经过一个 tanh，梯度就小一些；有五十个 tanh，就剩 0.0017。如果每"
        "个 tanh 之前还要乘一个权重 0.5，就只剩 0.0000000000000007，最前面的几层学不到东西。这就是梯度消失。",
        "lesson_vanishing_4": "相反的情形：八个因子 w = 3，每个都把传回来的梯度变成三倍。x 的梯度是 3⁸ = 6,561，w 的"
        "梯度是 8·3⁷ = 17,496，即 1.75×10⁴：这就是梯度爆炸。",
        "lesson_vanishing_5": "试一试：w = 1 时，x 的梯度正好是 1。把数字旁的 w 往两边拖一点：w 变动多少，x 的梯度"
        "就会大于 10，或小于 0.1？",
        "lesson_saturated": "饱和的 tanh",
        "lesson_saturated_about": "一个过于自信的神经元。",
        "lesson_saturated_1": "权重很大的神经元：w·x + b = 9，tanh(9) 几乎就是 1。这叫作饱和。",
        "lesson_saturated_2": "权重 w 会得到多大的梯度？",
        "lesson_saturated_choice_1": "约 2，即输入 x",
        "lesson_saturated_choice_2": "约 1，因为 tanh 是 1",
        "lesson_saturated_choice_3": "几乎是 0",
        "lesson_saturated_3": "是 0.00000012：tanh 的曲线在 9 处几乎是平的，局部导数 1 − tanh² 只有 0.00000006。即使"
        "它错得离谱，也几乎得不到纠正：所以权重的初值要小。",
        "lesson_saturated_4": "试一试：把数字旁的 w 往 0 拖，看 w 的梯度怎样“醒过来”。w 是多少时，这个梯度最大？",
        "lesson_neuron": "一个神经元能看到什么",
        "lesson_neuron_about": "直线怎样拼成圆形的边界。",
        "lesson_neuron_1": "网络要把内圈的点和外圈的点分开。输入和输出之间有三个神经元；每个小方格将显示一个神经元在"
        "平面各处的输出。",
        "lesson_neuron_2": "这三个神经元各自计算 tanh(w₁·x₁ + w₂·x₂ + b)。每幅小图的蓝色和橙色之间，分界是什么形状？",
        "lesson_neuron_choice_1": "一条直线",
        "lesson_neuron_choice_2": "一个圆",
        "lesson_neuron_choice_3": "任意曲线",
        "lesson_neuron_3": "一条直线：分界就是 w₁·x₁ + w₂·x₂ + b = 0 的地方。权重使直线转动，b 使直线平移。大图画的"
        "是第一个神经元。",
        "lesson_neuron_4": "现在开始学习：三条直线不断移动，直到围成一个三角形，把内圈的点围在里面，再由输出神经元加"
        "在一起。指向一个神经元，可以放大查看。",
        "lesson_neuron_5": "试一试：这里只有两个神经元。点“播放”：两条直线能把点围住吗？八条又会围成什么形状？可以改变"
        "“隐藏层”。",
        "lesson_xor": "异或需要隐藏层",
        "lesson_xor_about": "四个角，一条直线分不开。",
        "lesson_xor_1": "对角的颜色相同，这就是异或。隐藏层只有一个神经元，整个网络只画得出一条直线。",
        "lesson_xor_2": "它最多能判对多少点？",
        "lesson_xor_choice_1": "一半",
        "lesson_xor_choice_2": "约四分之三",
        "lesson_xor_choice_3": "全部",
        "lesson_xor_3": "约四分之三：最好的直线只能切下一个角，其余三个角里总有一个落在错误的一侧。训练连这条直线也找不"
        "到，准确率停在三分之二左右。",
        "lesson_xor_4": "有四个隐藏神经元就行了：每个画一条自己的直线，再由输出神经元组合起来。请看准确率。",
        "lesson_xor_5": "试一试：这里有三个神经元。换不同的随机种子训练 60 次，有 8 次全部判对；四个神经元有 55 次，"
        "两个神经元一次也没有。点“播放”，再换几个随机种子试试（在“更多”里）。",
        "lesson_attention": "注意力在注意什么",
        "lesson_attention_about": "一个小小的语言模型，怎样回头看前面的字母来猜下一个。",
        "lesson_attention_1": "这个模型逐个字母地拼写名字。每个字母是一个词元；• 也是一个词元，表示名字的开头和结尾。下"
        "面是下一个词元的概率，从大到小排列。它还什么都没学，只能乱猜：没有哪个词元明显领先。",
        "lesson_attention_2": "为了猜，模型要回头看到此为止的词元。负责看的有四个“头”，每个头把自己的注意力分给各个词"
        "元，合计 100%。训练之前，一个头会怎样分配？",
        "lesson_attention_choice_1": "全给最后一个字母",
        "lesson_attention_choice_2": "大致平分",
        "lesson_attention_choice_3": "全给第一个",
        "lesson_attention_3": "大致平分，因为模型里的数都还很小。现在它开始从 4,000 个名字中学习：看四个头的份额怎样"
        "逐渐拉开，下一个字母的概率又怎样随之变化。",
        "lesson_attention_4": "这是最大的一份注意力的计算，请顺着连线看。最后一个词元用四个数提问，叫查询；每个词元用四"
        "个数应答，叫键。查询和键对应相乘再相加，就是这个词元的契合度 fit。",
        "lesson_attention_5": "契合度的一半是得分 score，exp 再把各个得分变成份额，合计 100%。头按份额把各词元的信息"
        "混合起来，模型根据各个头读到的内容猜下一个词元。点击灰色方框可以展开；点“前进”，开始反向传播。",
        "lesson_attention_6": "试一试：输入别的开头，选中前面的词元，找一个主要看前一个字母、或者主要看开头的头，再点"
        "击它的那份注意力。",
    },
}
