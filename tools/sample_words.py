"""Words and turns of phrase that answers of models are full of, for the dictionary. It must hold no text of anybody."""

from __future__ import annotations

WORDS = """
about above according account across action actually add added adding addition additional address advantage affect
after again against age ago agree air all allow allows almost along already also although always amount an analysis
and another answer any anyone anything appear application applications apply approach appropriate are area areas
argument around array art article as ask asked assume at attention author available average avoid aware away back
background bad balance base based basic basis be became because become becomes been before began begin beginning
behavior behind being believe below benefit benefits best better between beyond big bit black blood blue board body
book books both bottom box bring brought build building built business but by calculate call called came can cannot
capital car care carefully carry case cases cause causes cell cells center central century certain certainly challenge
challenges change changed changes changing character characters check child children choice choose city class clean
clear clearly close code cold collection color column combine come comes coming common commonly community company
compare compared complete completely complex component components computer concept concern condition conditions
connect connection consider considered contain contains content context continue control convert cool core correct
cost costs could count country couple course cover create created creates creating critical cross culture current
currently custom customer customers cut cycle daily data database date day days deal death decide decision deep
default define defined definition degree demand depend depending depends describe described design designed despite
detail detailed details determine develop developed development device did difference differences different difficult
digital direct direction directly discuss discussion display distance do document does doing domain done door down
drive driven due during each early earth easily east easy economic economy edge education effect effective effectively
effects efficiency efficient effort either element elements else email employee employees empty enable enables end
energy engage engineering enough ensure ensures ensuring enter entire environment environmental equal equation error
errors especially essential establish even event events eventually ever every everyone everything evidence exactly
example examples except exist existing expect expected experience experiences explain explanation explore express
expression extra eye eyes face fact factor factors fail fall false familiar family famous far fast favorite feature
features feedback feel feeling few field fields figure file files fill final finally financial find finding fine fire
first fit five fix flow focus follow followed following follows food for force foreign form formal format former
forward found four free freedom friend friends from front full fully function functions fundamental further future
gain game gave general generally generate generated get gets getting girl give given gives giving global go goal goals
god goes going gold good got government great greater green ground group groups grow growing growth guide had half
hand handle hands happen happens happy hard has have having he head health healthy hear heart heat heavy held help
helpful helping helps her here high higher highest highly him himself his historical history hold home hope hot hour
hours house how however huge human humans hundred idea ideas identify if image images imagine immediately impact
implement implementation import importance important improve improved improvement improving in include included
includes including increase increased increases increasing indeed independent index indicate individual individuals
industry influence information initial input inside instead integer interest interested interesting interface internal
international internet into introduce introduction involve involved involves is issue issues it item items its itself
job join just keep key kind king knew know knowing knowledge known land language languages large larger largest last
late later latest law lead leader leaders leading leads learn learned learning least leave led left legal length less
let letter letters level levels library life light like likely limit limited limits line lines link list listed lists
literature little live lived lives living load local location logic long longer look looking lost lot love low lower
machine made magic main mainly maintain major make makes making man manage management manner many map mark market
marketing mass match material materials math matter maximum may maybe mean meaning means measure measures media
medical meet member members memory men mental mention mentioned message method methods middle might military million
mind minimum minute minutes miss mission mix mode model models modern moment money month months moon more morning most
mother motion move moved movement moving much multiple music must my name named names nation national natural nature
near nearly necessary need needed needs negative network never new news next night no non none nor normal north not
note nothing notice now number numbers object objects observe obtain obvious occur occurs ocean of off offer offers
office official often oil old older on once one ones online only open operation operations operator opinion
opportunities opportunity option options or order ordered organization organizations original other others otherwise
our out outcome output outside over overall own page paper parameter parameters parent part particular particularly
parties parts party pass passed past path pattern patterns pay peace people per percent perfect perform performance
perhaps period person personal perspective phone phrase physical physics pick picture piece place places plan planet
planning plant plants play player please plus point points policy political poor popular population position positive
possible potential power powerful practical practice practices prefer prepare present presented president press
pressure pretty prevent previous price primarily primary principle principles print private probably problem problems
process processes processing produce produced product production products professional program programming programs
progress project projects proper properly properties property protect proven provide provided provides providing
public pull purpose push put python quality quantum query question questions quick quickly quite random range rate
rather raw reach reaction read reading ready real reality realize really reason reasons receive received recent
recently recognize recommend record red reduce reduced reducing refer reference refers reflect regular related
relationship relationships relatively relevant rely remain remains remember remove repeat replace report represent
represents request require required requirements requires research resource resources respect respond response
responsible rest result resulting results return returns review rich right rise risk risks river road rock role room
root round row rule rules run running safe safety said same sample save say saying says scale scene school science
scientific scientists score sea search season second section security see seek seem seems seen select self sell send
sense sentence separate sequence series serious serve server service services session set sets setting several shape
share shared she short should show showing shown shows side sign significant significantly similar simple simply since
single site situation situations six size skills sky slow small smaller so social society software solution solutions
solve some someone something sometimes soon sort sound source sources south space speak special species specific
specifically speed spend spirit stability stage stand standard standards star stars start started starting state
statement states static status stay step steps still stop storage store stored stories story straight strategies
strategy street strength stress string strings strong structure structures student students study style subject
success successful such suggest suggests sum summary sun support supports sure surface system systems table take taken
takes taking talk target task tasks team technical techniques technologies technology tell temperature ten tend term
terms test testing text than thank that the their them themselves then theory there therefore these they thing things
think thinking third this those though thought thoughts thousands threat three through throughout time times tiny
title to today together token told too took tool tools top topic topics total touch toward towards track trade
traditional traffic train training transfer transform translation travel treatment tree trees true truly trust truth
try trying turn turned two type types typically under understand understanding unique unit united universe university
unless until up update updated upon us usage use used useful user users uses using usually valid valuable value values
variable variables variety various vast version very via video view visit visual voice volume wait walk wall want
wanted war was watch water wave waves way ways we weather web website week weeks weight well were west what whatever
when where whether which while white who whole whom whose why wide widely will wind window wish with within without
woman women wonderful word words work worked working works world would write writing written wrong year years yellow
yes yet you young your yourself zero
"""
TURNS = r"""
There are a few ways to do this: For example, In this case, On the other hand, As a result, In other words, It is
worth noting that It's important to note that Keep in mind that In summary, In conclusion, To summarize, In general,
First of all, Here are some of the most common Here's a step-by-step guide Here is an example of how to Let's break it
down Let me explain Let me know if you have any other questions! Feel free to ask if you need any further help. I hope
this helps! If you'd like, I can You're welcome! Of course! Certainly! Great question! That's a great question. I
don't have access to real-time I'm not able to As an AI language model, As of my last update in is one of the is known
for is used to can be used to is a type of refers to the process of such as the as well as in order to due to the
based on the according to the a wide range of a variety of the number of the use of the rest of the at the same time
at the end of the in the form of with respect to in the context of the following code the following steps: which means
that so that you can make sure that you want to you need to you can also it can be it may be they are there is no this
is because **Step 1:** **Example:** **Note:** **Key points:** **Advantages:** **Conclusion** ###
Example\n\n```python\ndef main(): return None for i in range(len( if __name__ == "__main__": import json print(f" ```
- ** : ** ## 1. ** 2. ** 3. ** don't doesn't isn't can't you're it's that's they're we're I'm I've you'll what's let's
wasn't won't aren't haven't
"""
